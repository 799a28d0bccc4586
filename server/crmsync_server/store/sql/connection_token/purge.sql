-- Delete the tokens, of any organization, of connections that are gone or have other credentials.
WITH gone AS (
    DELETE FROM connection_tokens AS t
    WHERE (t.lease_until IS NULL OR t.lease_until < now())
        AND NOT EXISTS (
            SELECT
            FROM connections AS c
            WHERE c.org_id = t.org_id
                AND c.id = t.connection_id
                AND c.credentials_version = t.credentials_version
        )
    RETURNING t.connection_id
)

SELECT count(*) FROM gone
