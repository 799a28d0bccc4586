-- The next leads of a CRM, made from a time on and before another, that a session has not noted yet.
SELECT l.id, l.create_time
FROM leads AS l
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND l.create_time >= :since
    AND l.create_time <= :until
    AND (l.create_time, l.id) > (CAST(:after_time AS timestamptz), CAST(:after_id AS text))
    AND NOT EXISTS (
        SELECT 1
        FROM session_records AS r
        WHERE r.org_id = l.org_id
            AND r.session_id = :session_id
            AND r.direction = 'PULL'
            AND r.key = l.id
    )
ORDER BY l.create_time, l.id
LIMIT :size
