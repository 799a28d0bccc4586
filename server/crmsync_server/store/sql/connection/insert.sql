-- Add a connection with its secrets; no row comes back when the organization has one to this CRM.
WITH added AS (
    INSERT INTO connections (org_id, id, crm, display_name, base_url, options, key_id)
    VALUES (
        :org_id, :connection_id, :crm, :display_name, :base_url, CAST(:options AS jsonb), :key_id
    )
    ON CONFLICT (org_id, crm) DO NOTHING
    RETURNING org_id, id
),

kept AS (
    INSERT INTO connection_secrets (org_id, connection_id, name, sealed)
    SELECT a.org_id, a.id, s.name, s.sealed
    FROM added AS a
    CROSS JOIN unnest(CAST(:names AS text []), CAST(:sealed AS bytea [])) AS s (name, sealed)
)

SELECT a.id FROM added AS a
