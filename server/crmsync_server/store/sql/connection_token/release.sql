-- Give a lease back without a new token.
UPDATE connection_tokens AS t SET lease_until = NULL, lease_owner = NULL
WHERE t.org_id = :org_id AND t.connection_id = :connection_id AND t.lease_owner = :owner
