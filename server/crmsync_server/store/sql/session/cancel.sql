-- End a session before its time, whose pending standings are locked: it is cancelled, or has failed
-- where there is an :error_code. What waits leaves the queue, unless another session still wants it; a
-- delivery under way keeps its item open and is told not to come back. Nothing more is read. What another
-- session wants becomes what that one asked for, the newest where there are several: a removal or a delivery.
WITH open_items AS MATERIALIZED (
    SELECT si.org_id, si.session_id, si.contact_id, si.crm, si.min_attempt
    FROM session_items AS si
    WHERE si.org_id = :org_id AND si.session_id = :session_id AND si.outcome IS NULL
),

pending AS MATERIALIZED (
    SELECT
        si.org_id,
        si.session_id,
        si.contact_id,
        si.crm,
        cs.sync_status = 'PROCESSING' AND si.min_attempt <= cs.attempt AS under_way,
        others.last_attempt IS NOT NULL AS shared,
        coalesce(others.last_attempt > cs.attempt, FALSE) AS wanted_again,
        coalesce(others.removing, cs.lease_until IS NOT NULL AND cs.claimed_hash IS NULL) AS removing
    FROM open_items AS si
    INNER JOIN contact_syncs AS cs
        ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
    CROSS JOIN LATERAL (
        SELECT
            max(other.min_attempt) AS last_attempt,
            (
                array_agg(other.removing ORDER BY other.min_attempt DESC, other.session_id DESC)
            ) [1] AS removing
        FROM session_items AS other
        INNER JOIN sessions AS o ON o.org_id = other.org_id AND o.id = other.session_id
        WHERE other.org_id = si.org_id
            AND other.contact_id = si.contact_id
            AND other.crm = si.crm
            AND other.min_attempt > cs.settled_attempt
            AND other.outcome IS NULL
            AND other.session_id <> si.session_id
            AND o.state IN ('RUNNING', 'PAUSED')
    ) AS others
),

taken_out AS (
    UPDATE contact_syncs AS cs SET
        previous_status = 'QUEUED',
        sync_status = 'SELECTED',
        processing_status = NULL,
        priority = 1,
        retry_count = 0,
        next_retry_time = NULL,
        force = FALSE,
        removing = FALSE,
        update_time = now()
    FROM pending AS p
    WHERE cs.org_id = p.org_id
        AND cs.contact_id = p.contact_id
        AND cs.crm = p.crm
        AND cs.sync_status = 'QUEUED'
        AND NOT p.shared
    RETURNING cs.crm
),

left_in AS (
    UPDATE contact_syncs AS cs SET removing = p.removing, update_time = now()
    FROM pending AS p
    WHERE cs.org_id = p.org_id
        AND cs.contact_id = p.contact_id
        AND cs.crm = p.crm
        AND cs.sync_status = 'QUEUED'
        AND cs.removing <> p.removing
        AND p.shared
),

told AS (
    UPDATE contact_syncs AS cs SET
        cancel_requested = cs.cancel_requested OR NOT p.shared,
        queued_again = p.wanted_again,
        removing = p.removing,
        update_time = now()
    FROM pending AS p
    WHERE cs.org_id = p.org_id
        AND cs.contact_id = p.contact_id
        AND cs.crm = p.crm
        AND cs.sync_status = 'PROCESSING'
),

items AS (
    UPDATE session_items AS si SET outcome = 'CANCELLED', end_time = now()
    FROM pending AS p
    WHERE si.org_id = p.org_id
        AND si.session_id = p.session_id
        AND si.contact_id = p.contact_id
        AND si.crm = p.crm
        AND NOT p.under_way
    RETURNING si.contact_id
),

counts AS (
    INSERT INTO sync_counts AS n (org_id, crm, slot, open, selected)
    SELECT :org_id, t.crm, :slot, -count(*), count(*)
    FROM taken_out AS t
    GROUP BY t.crm
    ON CONFLICT (org_id, crm, slot) DO UPDATE SET
        open = n.open + excluded.open,
        selected = n.selected + excluded.selected
),

tally AS (
    SELECT count(*) AS cancelled FROM items
)

UPDATE sessions AS s SET
    cancelled = s.cancelled + t.cancelled,
    revision = s.revision + 1,
    update_time = now(),
    pulling = FALSE,
    error_code = coalesce(s.error_code, CAST(:error_code AS text)),
    error_message = CASE
        WHEN s.error_code IS NULL THEN CAST(:error_message AS text) ELSE s.error_message
    END,
    state = CASE
        WHEN s.synced + s.skipped + s.errors + s.cancelled + t.cancelled < s.total
            THEN 'CANCELLING'
        WHEN coalesce(s.error_code, CAST(:error_code AS text)) IS NULL THEN 'CANCELLED'
        ELSE 'FAILED'
    END,
    end_time = CASE
        WHEN s.synced + s.skipped + s.errors + s.cancelled + t.cancelled = s.total THEN now()
    END
FROM tally AS t
WHERE s.org_id = :org_id
    AND s.id = :session_id
    AND s.state IN ('RUNNING', 'PAUSED', 'CANCELLING')
RETURNING s.*
