-- Every lane with something queued, and in how many seconds it may deliver the first of it: 0 when
-- that is due, more when it waits or the lane is paused, a day at most. By the database's clock, the
-- only one that all replicas share.
-- A loose index scan: the cost follows the number of lanes, not of queued contacts. Every lane is
-- greater than ('', ''); asking for that keeps the planner on the index while the table was never
-- analyzed, and from sorting the whole queue.
WITH RECURSIVE found AS (
    (
        SELECT cs.org_id, cs.crm
        FROM contact_syncs AS cs
        WHERE cs.processing_status = 'QUEUED' AND (cs.org_id, cs.crm) > ('', '')
        ORDER BY cs.org_id, cs.crm
        LIMIT 1
    )
    UNION ALL
    SELECT n.org_id, n.crm
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT cs.org_id, cs.crm
        FROM contact_syncs AS cs
        WHERE cs.processing_status = 'QUEUED' AND (cs.org_id, cs.crm) > (f.org_id, f.crm)
        ORDER BY cs.org_id, cs.crm
        LIMIT 1
    ) AS n
)

SELECT
    f.org_id,
    f.crm,
    extract(
        EPOCH FROM greatest(now(), least(
            -- What is urgent has a share of the quota of its own.
            CASE WHEN l.pause_code = 'QUOTA_EXHAUSTED' AND NOT l.probing THEN high.due_time END,
            greatest(least(high.due_time, normal.due_time), l.paused_until),
            now() + INTERVAL '1 day'
        )) - now()
    ) AS wait_seconds,
    coalesce(l.probing, FALSE) AS probing,
    coalesce(high.due_time <= now(), FALSE) AS urgent
FROM found AS f
LEFT JOIN lanes AS l ON l.org_id = f.org_id AND l.crm = f.crm
LEFT JOIN LATERAL (
    SELECT cs.due_time
    FROM contact_syncs AS cs
    WHERE cs.org_id = f.org_id
        AND cs.crm = f.crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 2
    ORDER BY cs.due_time
    LIMIT 1
) AS high ON TRUE
LEFT JOIN LATERAL (
    SELECT cs.due_time
    FROM contact_syncs AS cs
    WHERE cs.org_id = f.org_id
        AND cs.crm = f.crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 1
    ORDER BY cs.due_time
    LIMIT 1
) AS normal ON TRUE
