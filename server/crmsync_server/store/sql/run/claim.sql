-- Claim runs that are due and that nobody holds, of sessions that are not paused. Each claiming raises
-- the fence.
WITH due AS MATERIALIZED (
    SELECT r.org_id, r.session_id
    FROM session_runs AS r
    INNER JOIN sessions AS s ON s.org_id = r.org_id AND s.id = r.session_id
    WHERE r.due_time <= now()
        AND (r.lease_until IS NULL OR r.lease_until <= now())
        AND s.state = 'RUNNING'
    ORDER BY r.due_time, r.session_id
    LIMIT :size
    FOR UPDATE OF r SKIP LOCKED
)

UPDATE session_runs AS r SET
    fence = r.fence + 1,
    lease_until = now() + CAST(:lease AS interval),
    lease_owner = :owner
FROM due AS d
INNER JOIN sessions AS s ON s.org_id = d.org_id AND s.id = d.session_id
WHERE r.org_id = d.org_id AND r.session_id = d.session_id
RETURNING
    r.*,
    s.kind,
    s.direction,
    s.dry_run,
    s.creator,
    s.since,
    s.create_time AS session_create_time
