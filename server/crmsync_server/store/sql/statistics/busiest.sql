-- The hour in which most was confirmed, for each CRM and, as NULL, for all of them together.
SELECT DISTINCT ON (b.crm) b.crm, b.hour, CAST(b.synced AS bigint) AS synced
FROM (
    SELECT h.crm, h.hour, sum(h.synced) AS synced
    FROM sync_hours AS h
    WHERE h.org_id = :org_id
        AND h.crm = ANY(CAST(:crms AS text []))
        AND h.hour >= :start_time
        AND h.hour < :end_time
    GROUP BY GROUPING SETS ((h.crm, h.hour), (h.hour))
) AS b
WHERE b.synced > 0
ORDER BY b.crm, b.synced DESC, b.hour
