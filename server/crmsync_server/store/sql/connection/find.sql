-- The organization's connection to a CRM.
SELECT c.*
FROM connections AS c
WHERE c.org_id = :org_id AND c.crm = :crm
