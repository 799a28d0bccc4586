-- The records that some contacts are linked to at a CRM.
SELECT cs.contact_id, cs.crm_contact_id
FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
CROSS JOIN LATERAL (
    SELECT s.contact_id, s.crm_contact_id
    FROM contact_syncs AS s
    WHERE s.org_id = :org_id AND s.contact_id = i.contact_id AND s.crm = :crm
    OFFSET 0
) AS cs
WHERE cs.crm_contact_id IS NOT NULL
