-- The token that was had with these credentials, all NULL when there is none; no row when the
-- credentials are not the connection's any more.
SELECT
    t.key_id,
    t.access_token,
    t.refresh_token,
    t.expire_time,
    coalesce(t.renewals, 0) AS renewals
FROM connections AS c
LEFT JOIN connection_tokens AS t
    ON t.org_id = c.org_id
        AND t.connection_id = c.id
        AND t.credentials_version = c.credentials_version
WHERE c.org_id = :org_id
    AND c.id = :connection_id
    AND c.credentials_version = :credentials_version
