-- How often each action was noted for a session.
SELECT r.direction, r.action, count(*) AS times
FROM session_records AS r
WHERE r.org_id = :org_id AND r.session_id = :session_id AND r.action IS NOT NULL
GROUP BY r.direction, r.action
