-- The CRM's ids of contacts, by what was delivered or read last.
SELECT coalesce(b.crm_contact_id, cs.crm_contact_id) AS crm_contact_id
FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
LEFT JOIN sync_bases AS b
    ON b.org_id = :org_id AND b.contact_id = i.contact_id AND b.crm = :crm
LEFT JOIN contact_syncs AS cs
    ON cs.org_id = :org_id AND cs.contact_id = i.contact_id AND cs.crm = :crm
WHERE coalesce(b.crm_contact_id, cs.crm_contact_id) IS NOT NULL
