-- Replace the secrets of a locked connection as a whole.
WITH gone AS (
    DELETE FROM connection_secrets AS s
    WHERE s.org_id = :org_id
        AND s.connection_id = :connection_id
        AND s.name <> ALL(CAST(:names AS text []))
)

INSERT INTO connection_secrets (org_id, connection_id, name, sealed)
SELECT :org_id, :connection_id, s.name, s.sealed
FROM unnest(CAST(:names AS text []), CAST(:sealed AS bytea [])) AS s (name, sealed)
ON CONFLICT (org_id, connection_id, name) DO UPDATE SET sealed = excluded.sealed
