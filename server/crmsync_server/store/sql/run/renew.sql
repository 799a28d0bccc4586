-- Hold a run for longer.
UPDATE session_runs AS r SET lease_until = now() + CAST(:lease AS interval)
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.fence = :fence
    AND r.lease_until IS NOT NULL
RETURNING r.fence
