-- Delete a connection with its secrets, and its tokens but for those that are being renewed.
WITH gone AS (
    DELETE FROM connections AS c
    WHERE c.org_id = :org_id AND c.id = :connection_id
    RETURNING c.org_id, c.id, c.crm
),

tokens AS (
    DELETE FROM connection_tokens AS t
    WHERE t.org_id = :org_id
        AND t.connection_id = :connection_id
        AND (t.lease_until IS NULL OR t.lease_until < now())
)

SELECT g.crm FROM gone AS g
