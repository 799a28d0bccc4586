-- Take one contact out of one CRM's queue, for every session that wants it; its standing is locked
-- before. A delivery under way ends for those who wait for it, and is told not to come back.
WITH standing AS MATERIALIZED (
    SELECT
        cs.org_id, cs.contact_id, cs.crm, cs.settled_attempt, cs.sync_status AS status,
        CASE cs.sync_status WHEN 'PROCESSING' THEN cs.attempt ELSE 0 END AS under_way
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.contact_id = :contact_id
        AND cs.crm = :crm
        AND cs.sync_status IN ('QUEUED', 'PROCESSING')
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
    FROM standing AS st
    WHERE cs.org_id = st.org_id
        AND cs.contact_id = st.contact_id
        AND cs.crm = st.crm
        AND st.status = 'QUEUED'
    RETURNING cs.crm
),

told AS (
    UPDATE contact_syncs AS cs SET
        cancel_requested = TRUE,
        queued_again = FALSE,
        removing = cs.claimed_hash IS NULL,
        update_time = now()
    FROM standing AS st
    WHERE cs.org_id = st.org_id
        AND cs.contact_id = st.contact_id
        AND cs.crm = st.crm
        AND st.status = 'PROCESSING'
),

items AS (
    UPDATE session_items AS si SET outcome = 'CANCELLED', end_time = now()
    FROM standing AS st
    WHERE si.org_id = st.org_id
        AND si.contact_id = st.contact_id
        AND si.crm = st.crm
        AND si.min_attempt > greatest(st.settled_attempt, st.under_way)
        AND si.outcome IS NULL
    RETURNING si.org_id, si.session_id
),

counts AS (
    INSERT INTO sync_counts AS n (org_id, crm, slot, open, selected)
    SELECT :org_id, t.crm, :slot, -1, 1
    FROM taken_out AS t
    ON CONFLICT (org_id, crm, slot) DO UPDATE SET
        open = n.open + excluded.open,
        selected = n.selected + excluded.selected
),

-- In the order of their ids, as in finish.sql.
locked AS MATERIALIZED (
    SELECT s.org_id, s.id
    FROM sessions AS s
    INNER JOIN items AS i ON i.org_id = s.org_id AND i.session_id = s.id
    ORDER BY s.id
    FOR UPDATE OF s
),

moved AS (
    UPDATE sessions AS s SET
        cancelled = s.cancelled + 1,
        revision = s.revision + 1,
        update_time = now(),
        state = CASE
            WHEN s.synced + s.skipped + s.errors + s.cancelled + 1 < s.total OR s.pulling
                THEN s.state
            WHEN s.state <> 'CANCELLING' THEN 'SUCCEEDED'
            WHEN s.error_code IS NULL THEN 'CANCELLED'
            ELSE 'FAILED'
        END,
        end_time = CASE
            WHEN
                s.synced + s.skipped + s.errors + s.cancelled + 1 = s.total
                AND NOT s.pulling
                THEN now()
        END
    FROM locked AS l
    WHERE s.org_id = l.org_id AND s.id = l.id
    RETURNING s.id
)

SELECT (SELECT array_agg(m.id) FROM moved AS m) AS session_ids
FROM standing AS st
