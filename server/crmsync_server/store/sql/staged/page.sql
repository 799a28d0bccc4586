-- The next records that were kept.
SELECT r.key, r.fields
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.key > :after
    AND r.fields IS NOT NULL
ORDER BY r.key
LIMIT :size
