-- What a contact waits for, at each CRM where it is queued or being delivered. Whoever goes first in
-- its lane is counted up to :most: nobody needs to know more, and counting costs.
SELECT
    cs.crm,
    cs.lease_until IS NOT NULL AS delivering,
    cs.claim_time,
    cs.lease_owner,
    t.check_time,
    coalesce(l.paused_until > now() OR l.probing, FALSE) AS paused,
    nullif(l.paused_until, 'infinity') AS paused_until,
    l.pause_code,
    l.pause_message,
    CASE
        WHEN cs.due_time > now() AND cs.due_time <= timestamptz '9999-01-01 00:00:00+00'
            THEN cs.due_time
    END AS due_time,
    CASE
        WHEN cs.sync_status = 'QUEUED' AND cs.due_time > timestamptz '9999-01-01 00:00:00+00'
            THEN (
                SELECT si.session_id
                FROM session_items AS si
                INNER JOIN sessions AS s ON s.org_id = si.org_id AND s.id = si.session_id
                WHERE si.org_id = cs.org_id
                    AND si.contact_id = cs.contact_id
                    AND si.crm = cs.crm
                    AND si.min_attempt > cs.settled_attempt
                    AND si.outcome IS NULL
                    AND s.state = 'PAUSED'
                ORDER BY s.id
                LIMIT 1
            )
    END AS paused_session_id,
    q.bucket,
    q.blocked_until,
    l.records_per_second,
    CASE WHEN cs.lease_until IS NULL THEN high.ahead + normal.ahead END AS ahead
FROM contact_syncs AS cs
LEFT JOIN lanes AS l ON l.org_id = cs.org_id AND l.crm = cs.crm
LEFT JOIN tickets AS t ON t.org_id = cs.org_id AND t.crm = cs.crm AND t.ticket = cs.ticket
LEFT JOIN LATERAL (
    SELECT b.bucket, b.blocked_until
    FROM quotas AS b
    WHERE b.org_id = cs.org_id AND b.crm = cs.crm AND b.blocked_until > now()
    ORDER BY b.blocked_until DESC
    LIMIT 1
) AS q ON TRUE
CROSS JOIN LATERAL (
    SELECT count(*) AS ahead
    FROM (
        SELECT
        FROM contact_syncs AS o
        WHERE o.org_id = cs.org_id
            AND o.crm = cs.crm
            AND o.processing_status = 'QUEUED'
            AND o.priority = 2
            AND o.due_time <= now()
            AND (cs.priority = 1 OR (o.due_time, o.contact_id) < (cs.due_time, cs.contact_id))
        LIMIT :most
    ) AS o
) AS high
CROSS JOIN LATERAL (
    SELECT count(*) AS ahead
    FROM (
        SELECT
        FROM contact_syncs AS o
        WHERE o.org_id = cs.org_id
            AND o.crm = cs.crm
            AND o.processing_status = 'QUEUED'
            AND o.priority = 1
            AND cs.priority = 1
            AND (o.due_time, o.contact_id) < (cs.due_time, cs.contact_id)
        LIMIT :most
    ) AS o
) AS normal
WHERE cs.org_id = :org_id
    AND cs.contact_id = :contact_id
    AND (CAST(:crm AS text) IS NULL OR cs.crm = :crm)
    AND cs.processing_status IN ('QUEUED', 'PROCESSING')
ORDER BY cs.crm
