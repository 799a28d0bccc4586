-- Let go of a run for a while, and tell watchers why.
WITH moved AS (
    UPDATE session_runs AS r SET
        due_time = now() + CAST(:rest AS interval),
        wait_code = CAST(:code AS text),
        wait_message = CAST(:message AS text),
        retry_count = CASE WHEN :failed THEN r.retry_count + 1 ELSE r.retry_count END,
        lease_until = NULL,
        lease_owner = NULL
    WHERE r.org_id = :org_id
        AND r.session_id = :session_id
        AND r.fence = :fence
        AND r.lease_until IS NOT NULL
    RETURNING r.org_id, r.session_id, r.fence
),

told AS (
    UPDATE sessions AS s SET revision = s.revision + 1, update_time = now()
    FROM moved AS m
    WHERE s.org_id = m.org_id AND s.id = m.session_id
    RETURNING s.id
)

SELECT m.fence
FROM moved AS m
INNER JOIN told AS t ON m.session_id = t.id
