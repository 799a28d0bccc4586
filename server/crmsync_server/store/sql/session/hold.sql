-- Keep what waits for a paused session alone from being claimed; what a running session wants too is
-- delivered for that one. The standings are locked before. Answers how many deliveries are under way:
-- one that comes back to the queue is held by doing this again.
WITH pending AS MATERIALIZED (
    SELECT si.org_id, si.contact_id, si.crm, cs.sync_status
    FROM session_items AS si
    INNER JOIN contact_syncs AS cs
        ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
    WHERE si.org_id = :org_id
        AND si.session_id = :session_id
        AND si.outcome IS NULL
        AND NOT EXISTS (
            SELECT FROM session_items AS other
            INNER JOIN sessions AS o ON o.org_id = other.org_id AND o.id = other.session_id
            WHERE other.org_id = si.org_id
                AND other.contact_id = si.contact_id
                AND other.crm = si.crm
                AND other.min_attempt > cs.settled_attempt
                AND other.outcome IS NULL
                AND o.state = 'RUNNING'
        )
),

held AS (
    UPDATE contact_syncs AS cs SET due_time = timestamptz '9999-12-31 00:00:00+00'
    FROM pending AS p
    WHERE cs.org_id = p.org_id
        AND cs.contact_id = p.contact_id
        AND cs.crm = p.crm
        AND cs.sync_status = 'QUEUED'
)

SELECT count(*) FILTER (WHERE p.sync_status = 'PROCESSING') AS under_way FROM pending AS p
