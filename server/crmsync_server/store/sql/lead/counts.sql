-- How many leads of a CRM stand at each status.
SELECT c.status_code, c.leads
FROM lead_counts AS c
WHERE c.org_id = :org_id AND c.crm = :crm AND c.leads <> 0
ORDER BY c.status_code
