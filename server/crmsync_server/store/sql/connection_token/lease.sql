-- Take the renewal of a token, unless somebody has it, or has renewed the token since it was read.
INSERT INTO connection_tokens AS t (
    org_id, connection_id, credentials_version, lease_until, lease_owner
)
SELECT c.org_id, c.id, c.credentials_version, now() + :lease, CAST(:owner AS uuid)
FROM connections AS c
WHERE c.org_id = :org_id
    AND c.id = :connection_id
    AND c.credentials_version = :credentials_version
ON CONFLICT (org_id, connection_id, credentials_version) DO UPDATE SET
    lease_until = excluded.lease_until,
    lease_owner = excluded.lease_owner
WHERE t.renewals = :renewals AND (t.lease_until IS NULL OR t.lease_until < now())
RETURNING t.lease_owner
