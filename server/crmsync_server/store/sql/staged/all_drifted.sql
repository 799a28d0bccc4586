-- The first of the records that are not as the plan has them.
SELECT r.key
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.error_code = 'PLAN_DRIFTED'
ORDER BY r.key
LIMIT :size
