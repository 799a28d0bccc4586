-- Lock the session of a plan, so that it is applied once.
SELECT s.*, s.end_time < now() - interval '7 days' AS expired
FROM sessions AS s
WHERE s.org_id = :org_id AND s.id = :session_id
FOR UPDATE
