-- A page of sessions, newest first (ids are UUIDv7, so their order is that of creation).
SELECT s.*
FROM sessions AS s
WHERE s.org_id = :org_id
    AND (CAST(:before_id AS uuid) IS NULL OR s.id < :before_id)
    AND (CAST(:states AS text []) IS NULL OR s.state = ANY(:states))
    AND (CAST(:kind AS text) IS NULL OR s.kind = :kind)
    AND (CAST(:crm AS text) IS NULL OR s.crm = :crm)
ORDER BY s.id DESC
LIMIT :size
