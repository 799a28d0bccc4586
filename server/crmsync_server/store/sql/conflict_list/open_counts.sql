-- How many conflicts are open, by CRM. It costs what is open, however many have ended.
SELECT f.crm, count(*) AS open_count FROM conflicts AS f
WHERE f.org_id = :org_id AND f.state = 'OPEN'
GROUP BY f.crm
