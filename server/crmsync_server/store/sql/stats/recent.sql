-- What the last 24 hours brought, in full hours.
SELECT
    coalesce(sum(h.synced), 0) AS synced,
    coalesce(sum(h.errors), 0) AS errors,
    coalesce(sum(h.skipped), 0) AS skipped
FROM sync_hours AS h
WHERE h.org_id = :org_id
    AND h.crm = :crm
    AND h.hour > date_trunc('hour', now(), 'UTC') - interval '24 hours'
