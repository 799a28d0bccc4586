-- How many leads of a CRM were made from a time on and before another.
SELECT count(*) AS leads
FROM leads AS l
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND l.create_time >= :since
    AND l.create_time <= :until
