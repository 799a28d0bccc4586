-- How many notices wait, by CRM.
SELECT n.crm, count(*) AS waiting
FROM notices AS n
WHERE n.done_time IS NULL
GROUP BY n.crm
