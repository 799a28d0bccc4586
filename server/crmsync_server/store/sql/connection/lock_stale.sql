-- Some connections, of any organization, whose secrets are under one of these keys; those that
-- somebody is changing are left to him, for he uses the newest key.
SELECT c.org_id, c.id, c.key_id, c.version
FROM connections AS c
WHERE c.key_id = ANY(CAST(:key_ids AS text [])) AND c.id <> ALL(CAST(:except_ids AS uuid []))
ORDER BY c.org_id, c.id
LIMIT :size
FOR NO KEY UPDATE SKIP LOCKED
