-- Add users, one or many.
INSERT INTO users (
    org_id, id, external_id, email, first_name, last_name, role, is_active, metadata
)
SELECT
    :org_id, i.id, i.external_id, i.email, i.first_name, i.last_name, i.role, i.is_active,
    CAST(i.metadata AS jsonb)
FROM unnest(
    CAST(:ids AS uuid []),
    CAST(:external_ids AS text []),
    CAST(:emails AS text []),
    CAST(:first_names AS text []),
    CAST(:last_names AS text []),
    CAST(:roles AS text []),
    CAST(:actives AS boolean []),
    CAST(:metadatas AS text [])
) AS i (id, external_id, email, first_name, last_name, role, is_active, metadata)
