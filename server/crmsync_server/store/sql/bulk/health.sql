-- How bulk operations do at each CRM: what is open, and what became of the sessions opened in the last 24
-- hours, from the counts that sessions keep. Ids are ordered by time: the cost follows those sessions.
WITH recent AS (
    SELECT
        s.crm,
        count(*) AS sessions,
        sum(s.synced) AS synced,
        sum(s.skipped) AS skipped,
        sum(s.errors) AS errors,
        sum(s.cancelled) AS cancelled
    FROM sessions AS s
    WHERE s.org_id = :org_id
        AND s.id >= CAST(:first_id AS uuid)
        AND s.kind IN ('APPLY_BATCH', 'MASS_UPDATE')
    GROUP BY s.crm
),

open AS (
    SELECT
        s.crm,
        count(*) AS sessions,
        sum(s.total - s.synced - s.skipped - s.errors - s.cancelled) AS pending
    FROM sessions AS s
    WHERE s.org_id = :org_id
        AND s.end_time IS NULL
        AND s.kind IN ('APPLY_BATCH', 'MASS_UPDATE')
    GROUP BY s.crm
),

named AS (
    SELECT
        coalesce(r.crm, o.crm) AS crm,
        r.sessions, r.synced, r.skipped, r.errors, r.cancelled,
        o.sessions AS open_sessions, o.pending
    FROM recent AS r
    FULL JOIN open AS o ON o.crm = r.crm
)

SELECT
    n.crm,
    coalesce(n.open_sessions, 0) AS open_sessions,
    coalesce(n.pending, 0) AS pending,
    coalesce(n.sessions, 0) AS recent_sessions,
    coalesce(n.synced, 0) AS synced,
    coalesce(n.skipped, 0) AS skipped,
    coalesce(n.errors, 0) AS errors,
    coalesce(n.cancelled, 0) AS cancelled,
    l.records_per_second,
    CASE WHEN l.paused_until > now() OR l.probing THEN coalesce(l.pause_code, 'PAUSED') END
        AS pause_code,
    now() - least(high.due_time, normal.due_time) AS queue_age
FROM named AS n
LEFT JOIN lanes AS l ON l.org_id = :org_id AND l.crm = n.crm
LEFT JOIN LATERAL (
    SELECT cs.due_time
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.crm = n.crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 2
        AND cs.due_time <= now()
    ORDER BY cs.due_time
    LIMIT 1
) AS high ON TRUE
LEFT JOIN LATERAL (
    SELECT cs.due_time
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.crm = n.crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 1
        AND cs.due_time <= now()
    ORDER BY cs.due_time
    LIMIT 1
) AS normal ON TRUE
WHERE CAST(:crm AS text) IS NULL OR n.crm = :crm
ORDER BY n.crm
