-- Some tokens, of any organization, that are under one of these keys; one that is being renewed will
-- be under the newest key.
SELECT
    t.org_id,
    t.connection_id,
    t.credentials_version,
    t.key_id,
    t.access_token,
    t.refresh_token,
    t.expire_time,
    t.renewals
FROM connection_tokens AS t
WHERE t.key_id = ANY(CAST(:key_ids AS text []))
    AND t.connection_id <> ALL(CAST(:except_ids AS uuid []))
    AND (t.lease_until IS NULL OR t.lease_until < now())
ORDER BY t.org_id, t.connection_id, t.credentials_version
LIMIT :size
FOR UPDATE SKIP LOCKED
