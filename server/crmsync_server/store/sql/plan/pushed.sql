-- The contacts that a plan would queue.
SELECT r.contact_id
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :plan_id
    AND r.direction = 'PUSH'
    AND r.action IN ('CREATED', 'UPDATED')
ORDER BY r.contact_id
