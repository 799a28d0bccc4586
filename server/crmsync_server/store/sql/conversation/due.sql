-- Which organizations have conversations that nothing was said in for a day.
SELECT DISTINCT v.org_id
FROM conversations AS v
WHERE v.status = 'OPEN' AND v.last_message_time <= now() - INTERVAL '24 hours'
