-- What forecasts of sessions need of their lanes; sessions that have ended have none. Reads kept-up
-- counts, and a hundred of the sessions that were opened later at the most: it costs the same for
-- each, however much is queued.
SELECT
    s.org_id,
    s.id,
    s.crm,
    s.total - s.synced - s.skipped - s.errors - s.cancelled AS pending,
    coalesce(open.total, 0) AS open,
    coalesce(later.pending, 0) AS later,
    l.records_per_second,
    l.paused_until = 'infinity' OR s.state = 'PAUSED' AS stopped,
    CASE
        WHEN isfinite(l.paused_until)
            THEN CAST(extract(EPOCH FROM l.paused_until - now()) AS double precision)
    END AS paused_seconds
FROM unnest(CAST(:org_ids AS text []), CAST(:session_ids AS uuid [])) AS w (org_id, id)
INNER JOIN sessions AS s ON s.org_id = w.org_id AND s.id = w.id
LEFT JOIN lanes AS l ON l.org_id = s.org_id AND l.crm = s.crm
LEFT JOIN LATERAL (
    SELECT sum(n.open) AS total
    FROM sync_counts AS n
    WHERE n.org_id = s.org_id AND n.crm = s.crm
) AS open ON TRUE
LEFT JOIN LATERAL (
    SELECT sum(newer.pending) AS pending
    FROM (
        SELECT o.total - o.synced - o.skipped - o.errors - o.cancelled AS pending
        FROM sessions AS o
        WHERE o.org_id = s.org_id AND o.crm = s.crm AND o.end_time IS NULL AND o.id > s.id
        ORDER BY o.id
        LIMIT 100
    ) AS newer
) AS later ON TRUE
WHERE s.end_time IS NULL
