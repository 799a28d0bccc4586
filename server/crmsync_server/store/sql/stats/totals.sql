-- How many deliveries are open over all organizations, by CRM.
SELECT n.crm, sum(n.open) AS open
FROM sync_counts AS n
GROUP BY n.crm
