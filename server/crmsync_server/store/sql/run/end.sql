-- Remove a run that has done everything, while it is held and its session goes on; see advance.sql.
DELETE FROM session_runs AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.fence = :fence
    AND r.lease_until IS NOT NULL
    AND EXISTS (
        SELECT FROM sessions AS s
        WHERE s.org_id = r.org_id AND s.id = r.session_id AND s.state = 'RUNNING'
    )
RETURNING r.fence
