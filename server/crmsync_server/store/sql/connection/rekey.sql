-- Put the re-encrypted secrets of a connection in place, if it is still the one they were taken from.
WITH still AS (
    UPDATE connections AS c SET key_id = :key_id
    WHERE c.org_id = :org_id
        AND c.id = :connection_id
        AND c.version = :version
        AND c.key_id = :old_key_id
    RETURNING c.org_id, c.id
),

kept AS (
    UPDATE connection_secrets AS s SET sealed = n.sealed
    FROM still AS c
    CROSS JOIN unnest(CAST(:names AS text []), CAST(:sealed AS bytea [])) AS n (name, sealed)
    WHERE s.org_id = c.org_id AND s.connection_id = c.id AND s.name = n.name
)

SELECT c.id FROM still AS c
