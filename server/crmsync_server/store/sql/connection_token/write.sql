-- Keep a renewed token and give the lease back, if it is still held.
UPDATE connection_tokens AS t SET
    key_id = :key_id,
    access_token = :access_token,
    refresh_token = :refresh_token,
    expire_time = :expire_time,
    renewals = t.renewals + 1,
    lease_until = NULL,
    lease_owner = NULL
WHERE t.org_id = :org_id AND t.connection_id = :connection_id AND t.lease_owner = :owner
