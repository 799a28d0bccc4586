-- Give users, one or many, their new values. In one statement: two may exchange their emails, and
-- uniqueness is looked at when it ends.
UPDATE users AS u SET
    external_id = i.external_id,
    email = i.email,
    first_name = i.first_name,
    last_name = i.last_name,
    role = i.role,
    is_active = i.is_active,
    metadata = CAST(i.metadata AS jsonb),
    version = u.version + 1,
    update_time = now()
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
WHERE u.org_id = :org_id AND u.id = i.id
