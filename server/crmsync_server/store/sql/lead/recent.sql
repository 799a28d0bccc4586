-- The next leads of a CRM, oldest first, that were made from a time on and before another.
SELECT l.id, l.create_time
FROM leads AS l
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND l.create_time >= :since
    AND l.create_time <= :until
    AND (l.create_time, l.id) > (CAST(:after_time AS timestamptz), CAST(:after_id AS text))
ORDER BY l.create_time, l.id
LIMIT :size
