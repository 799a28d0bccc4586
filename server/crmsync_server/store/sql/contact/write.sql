-- Give contacts, one or many, their new content, and tell the engine: whoever waits or is on its
-- way at any CRM then wants the new version. The contacts and their standings are locked before
-- (lock.sql), so nothing is waited for here. Why org_id is joined and not given: see
-- queue/finish.sql.
WITH input AS MATERIALIZED (
    SELECT :org_id AS org_id, i.*
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
),

written AS (
    UPDATE contacts AS c SET
        email = i.email,
        name = i.name,
        first_name = i.first_name,
        last_name = i.last_name,
        phone = i.phone,
        company = i.company,
        tags = CAST(i.tags AS text []),
        notes = i.notes,
        avatar = i.avatar,
        domain_id = i.domain_id,
        properties = CAST(i.properties AS jsonb),
        content_hash = i.content_hash,
        version = c.version + 1,
        update_time = now()
    FROM input AS i
    WHERE c.org_id = i.org_id AND c.id = i.id
    RETURNING c.org_id, c.id, c.version
)

UPDATE contact_syncs AS cs SET wanted_version = w.version
FROM written AS w
WHERE cs.org_id = w.org_id
    AND cs.contact_id = w.id
    AND cs.processing_status IN ('QUEUED', 'PROCESSING')
