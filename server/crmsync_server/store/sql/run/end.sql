-- Remove a run that has done everything, while it is held.
DELETE FROM session_runs AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.fence = :fence
    AND r.lease_until IS NOT NULL
RETURNING r.fence
