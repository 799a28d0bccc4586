-- Up to when a CRM was read.
SELECT w.time FROM watermarks AS w WHERE w.org_id = :org_id AND w.crm = :crm
