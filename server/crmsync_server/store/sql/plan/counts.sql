-- How often each action was noted for these sessions.
SELECT r.org_id, r.session_id, r.direction, r.action, count(*) AS times
FROM unnest(CAST(:org_ids AS text []), CAST(:session_ids AS uuid [])) AS w (org_id, id)
INNER JOIN session_records AS r ON r.org_id = w.org_id AND r.session_id = w.id
WHERE r.action IS NOT NULL
GROUP BY r.org_id, r.session_id, r.direction, r.action
