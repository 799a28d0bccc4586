-- What estimates need, for each of some lanes: how much is open, how fast the lane goes, until when
-- it is paused, and whether that has no end.
SELECT
    w.crm,
    (
        SELECT coalesce(sum(n.open), 0)
        FROM sync_counts AS n
        WHERE n.org_id = :org_id AND n.crm = w.crm
    ) AS open,
    l.records_per_second,
    CASE WHEN isfinite(l.paused_until) THEN l.paused_until END AS paused_until,
    coalesce(l.paused_until = 'infinity', FALSE) AS held
FROM unnest(CAST(:crms AS text [])) AS w (crm)
LEFT JOIN lanes AS l ON l.org_id = :org_id AND l.crm = w.crm
