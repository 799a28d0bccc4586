-- A page of users, newest first (ids are UUIDv7, so their order is that of creation).
SELECT u.*
FROM users AS u
WHERE u.org_id = :org_id
    AND (CAST(:before_id AS uuid) IS NULL OR u.id < :before_id)
    AND (CAST(:is_active AS boolean) IS NULL OR u.is_active = :is_active)
    AND (CAST(:role AS text) IS NULL OR u.role = :role)
ORDER BY u.id DESC
LIMIT :size
