-- The next records of a session that are not decided. After the last one that was: all before it are, and
-- would be looked through again for every page.
SELECT r.key
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.key > :after
    AND r.action IS NULL
ORDER BY r.key
LIMIT :size
