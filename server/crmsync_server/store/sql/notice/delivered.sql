-- Which of these contacts were ever claimed for delivery to a CRM.
SELECT cs.contact_id
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id
    AND cs.crm = :crm
    AND cs.contact_id = ANY(CAST(:contact_ids AS uuid []))
    AND cs.attempt > 0
