-- A page of schedules, newest first (ids are UUIDv7, so their order is that of creation).
SELECT s.*
FROM schedules AS s
WHERE s.org_id = :org_id
    AND (CAST(:before_id AS uuid) IS NULL OR s.id < :before_id)
    AND (CAST(:crm AS text) IS NULL OR s.crm = :crm)
ORDER BY s.id DESC
LIMIT :size
