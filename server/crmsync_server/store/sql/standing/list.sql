-- How one contact stands at every CRM that it was ever selected for.
SELECT cs.*
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id AND cs.contact_id = :contact_id
