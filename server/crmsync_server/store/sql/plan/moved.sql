-- Contacts of a plan that were changed or deleted since it was made.
SELECT r.key, r.direction, r.contact_id
FROM session_records AS r
INNER JOIN contacts AS c ON c.org_id = r.org_id AND c.id = r.contact_id
WHERE r.org_id = :org_id
    AND r.session_id = :plan_id
    AND r.contact_version IS NOT NULL
    AND r.action IN ('CREATED', 'UPDATED', 'CONFLICT', 'DELETED')
    AND (c.version <> r.contact_version OR c.delete_time IS NOT NULL)
ORDER BY r.direction, r.key
LIMIT :size
