-- Write down what contacts and their records agree on, as of their standings now. A contact that is
-- linked to another record than before has had no deliveries to it. An empty echo says that none comes back
-- as of the time that the record has changed since; see delivered.sql. The standings are locked before.
INSERT INTO sync_bases AS b (
    org_id, contact_id, crm, crm_contact_id, fields, synced_time, crm_modified_time, conflicted
)
SELECT
    :org_id, i.contact_id, :crm, i.crm_contact_id, CAST(i.fields AS jsonb), cs.synced_time,
    i.crm_modified_time, coalesce(CAST(i.conflicted AS text []), '{}')
FROM unnest(
    CAST(:contact_ids AS uuid []),
    CAST(:crm_contact_ids AS text []),
    CAST(:fields AS text []),
    CAST(:crm_modified_times AS timestamptz []),
    CAST(:conflicted AS text [])
) AS i (contact_id, crm_contact_id, fields, crm_modified_time, conflicted)
LEFT JOIN LATERAL (
    SELECT s.synced_time
    FROM contact_syncs AS s
    WHERE s.org_id = :org_id AND s.contact_id = i.contact_id AND s.crm = :crm
    OFFSET 0
) AS cs ON TRUE
ON CONFLICT (org_id, contact_id, crm) DO UPDATE SET
    crm_contact_id = excluded.crm_contact_id,
    fields = excluded.fields,
    synced_time = excluded.synced_time,
    crm_modified_time = excluded.crm_modified_time,
    echoes = CASE
        WHEN b.crm_contact_id <> excluded.crm_contact_id THEN '{}'
        WHEN
            excluded.crm_modified_time > b.crm_modified_time
            AND octet_length(b.echoes[cardinality(b.echoes)]) > 0
            THEN b.echoes || CAST('' AS bytea)
        ELSE b.echoes
    END,
    conflicted = excluded.conflicted,
    update_time = now()
