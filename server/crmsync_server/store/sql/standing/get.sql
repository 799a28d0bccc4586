-- How one contact stands at one CRM.
SELECT cs.*
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id AND cs.contact_id = :contact_id AND cs.crm = :crm
