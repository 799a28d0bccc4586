-- The next records that a plan would do something with.
SELECT r.key, r.action, r.fingerprint
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.key > :after
    AND r.action IN ('CREATED', 'UPDATED', 'CONFLICT', 'DELETED')
ORDER BY r.key
LIMIT :size
