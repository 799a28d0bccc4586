-- Move a run on, while it is held and its session goes on. The session is locked after its run, by this as
-- by whoever pauses or cancels it.
WITH moved AS (
    UPDATE session_runs AS r SET
        phase = :phase,
        cursor = CAST(:cursor AS jsonb),
        due_time = now() + CAST(:rest AS interval),
        until_time = coalesce(CAST(:until_time AS timestamptz), r.until_time),
        retry_count = 0,
        wait_code = NULL,
        wait_message = NULL,
        lease_until = now() + CAST(:lease AS interval)
    WHERE r.org_id = :org_id
        AND r.session_id = :session_id
        AND r.fence = :fence
        AND r.lease_until IS NOT NULL
    RETURNING r.org_id, r.session_id, r.fence
),

told AS (
    UPDATE sessions AS s SET
        expected = coalesce(CAST(:expected AS bigint), s.expected),
        pages = s.pages + :pages,
        since = coalesce(CAST(:since AS timestamptz), s.since),
        revision = s.revision + 1,
        update_time = now()
    FROM moved AS m
    -- A claim that began before a pause may take the run after it.
    WHERE s.org_id = m.org_id AND s.id = m.session_id AND s.state = 'RUNNING'
    RETURNING s.id
)

SELECT m.fence
FROM moved AS m
INNER JOIN told AS t ON m.session_id = t.id
