-- The next records of a session that are not decided.
SELECT r.key
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.action IS NULL
ORDER BY r.key
LIMIT :size
