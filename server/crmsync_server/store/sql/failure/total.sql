-- How many contacts have failed at one CRM. Those in ERROR are counted as they come and go; those
-- that the credentials keep in the queue are a few.
SELECT
    coalesce(sum(n.error), 0) + (
        SELECT count(*)
        FROM contact_syncs AS cs
        WHERE cs.org_id = :org_id
            AND cs.crm = :crm
            AND cs.sync_status = 'QUEUED'
            AND cs.error_code = 'CREDENTIALS_REFUSED'
    ) AS total
FROM sync_counts AS n
WHERE n.org_id = :org_id AND n.crm = :crm
