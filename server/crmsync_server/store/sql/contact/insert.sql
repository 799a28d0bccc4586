-- Add contacts, one or many, but for those whose email a contact has already; answer which were
-- added. A transaction that is about to take one of the emails is waited for, so callers give the
-- emails in order: two that share several must not wait for each other. What was added is noted down
-- for the index of words.
WITH added AS (
    INSERT INTO contacts (
        org_id, id, email, name, first_name, last_name, phone, company, tags, notes, avatar, domain_id,
        properties, content_hash
    )
    SELECT
        :org_id,
        i.id,
        i.email,
        coalesce(i.name, ''),
        coalesce(i.first_name, ''),
        coalesce(i.last_name, ''),
        coalesce(i.phone, ''),
        coalesce(i.company, ''),
        coalesce(CAST(i.tags AS text []), '{}'),
        coalesce(i.notes, ''),
        coalesce(i.avatar, ''),
        i.domain_id,
        coalesce(CAST(i.properties AS jsonb), '{}'),
        i.content_hash
    FROM unnest(
        CAST(:ids AS uuid []),
        CAST(:emails AS text []),
        CAST(:names AS text []),
        CAST(:first_names AS text []),
        CAST(:last_names AS text []),
        CAST(:phones AS text []),
        CAST(:companies AS text []),
        CAST(:tags AS text []),
        CAST(:notes AS text []),
        CAST(:avatars AS text []),
        CAST(:domain_ids AS uuid []),
        CAST(:properties AS text []),
        CAST(:content_hashes AS bytea [])
    ) AS i (
        id, email, name, first_name, last_name, phone, company, tags, notes, avatar, domain_id,
        properties, content_hash
    )
    ON CONFLICT (org_id, email_key) WHERE delete_time IS NULL DO NOTHING
    RETURNING id
),

noted AS (
    INSERT INTO unindexed_contacts (org_id, contact_ids)
    SELECT
        :org_id,
        array_agg(a.id)
    FROM added AS a
    HAVING count(*) > 0
)

SELECT a.id
FROM added AS a
