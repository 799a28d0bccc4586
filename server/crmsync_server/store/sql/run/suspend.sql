-- Take a run from whoever holds it; it is due again at once when its session goes on.
UPDATE session_runs AS r SET
    fence = r.fence + 1,
    lease_until = NULL,
    lease_owner = NULL
WHERE r.org_id = :org_id AND r.session_id = :session_id
