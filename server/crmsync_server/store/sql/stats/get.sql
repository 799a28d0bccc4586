-- How many contacts stand where at one CRM. Reads the kept-up counts and the few that are being
-- delivered now, so it costs the same at any number of contacts.
SELECT
    coalesce(sum(n.selected), 0) AS selected,
    coalesce(sum(n.open), 0) AS open,
    coalesce(sum(n.complete), 0) AS complete,
    coalesce(sum(n.error), 0) AS errors,
    coalesce(sum(n.skipped), 0) AS skipped,
    (
        SELECT count(*)
        FROM contact_syncs AS cs
        WHERE cs.org_id = :org_id AND cs.crm = :crm AND cs.processing_status = 'PROCESSING'
    ) AS processing
FROM sync_counts AS n
WHERE n.org_id = :org_id AND n.crm = :crm
