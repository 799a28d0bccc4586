-- The contacts that some records are linked to, those that have some emails, and those of some ids: each
-- with its standing at a CRM and what was last agreed on with its record there. Linked ones that were
-- deleted are told as well.
-- Each is looked up by its key, whatever the planner knows; see finish.sql.
WITH records AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.crm_contact_id
    FROM unnest(CAST(:crm_contact_ids AS text [])) AS i (crm_contact_id)
),

found AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, f.contact_id
    FROM (
        SELECT b.contact_id
        FROM records AS r
        CROSS JOIN LATERAL (
            SELECT s.contact_id
            FROM sync_bases AS s
            WHERE s.org_id = r.org_id AND s.crm_contact_id = r.crm_contact_id AND s.crm = r.crm
            OFFSET 0
        ) AS b
        UNION
        SELECT w.contact_id
        FROM contacts_with_emails(:org_id, CAST(:email_keys AS text [])) AS w
        UNION
        SELECT unnest(CAST(:contact_ids AS uuid []))
    ) AS f
)

SELECT
    c.id, c.email, c.name, c.first_name, c.last_name, c.phone, c.company, c.tags, c.notes, c.avatar,
    c.domain_id, c.properties, c.version, c.content_hash, c.email_key, c.update_time,
    c.delete_time IS NOT NULL AS deleted,
    cs.sync_status, cs.crm_contact_id AS linked_id, cs.synced_time, cs.synced_hash,
    b.crm_contact_id AS base_id, b.fields, b.synced_time AS base_time, b.crm_modified_time,
    coalesce(b.echoes, '{}') AS echoes,
    coalesce(b.conflicted, '{}') AS conflicted,
    coalesce(cs.removing, FALSE) AS removing,
    coalesce(
        cs.unsettled, CASE WHEN cs.synced_hash IS NULL THEN CAST('[null]' AS jsonb) ELSE '[]' END
    ) AS unsettled
FROM found AS f
CROSS JOIN LATERAL (
    SELECT k.* FROM contacts AS k WHERE k.org_id = f.org_id AND k.id = f.contact_id OFFSET 0
) AS c
LEFT JOIN LATERAL (
    SELECT s.*
    FROM contact_syncs AS s
    WHERE s.org_id = f.org_id AND s.contact_id = f.contact_id AND s.crm = f.crm
    OFFSET 0
) AS cs ON TRUE
LEFT JOIN LATERAL (
    SELECT s.*
    FROM sync_bases AS s
    WHERE s.org_id = f.org_id AND s.contact_id = f.contact_id AND s.crm = f.crm
    OFFSET 0
) AS b ON TRUE
