-- The contacts that are linked to records of a CRM.
SELECT b.crm_contact_id, b.contact_id
FROM sync_bases AS b
WHERE b.org_id = :org_id
    AND b.crm = :crm
    AND b.crm_contact_id = ANY(CAST(:crm_contact_ids AS text []))
