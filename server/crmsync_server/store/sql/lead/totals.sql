-- How many leads of a CRM there are, and how many have converted.
SELECT t.* FROM lead_totals AS t WHERE t.org_id = :org_id AND t.crm = :crm
