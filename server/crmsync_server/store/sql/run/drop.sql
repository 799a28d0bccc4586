-- Remove the run of a session, whoever holds it.
DELETE FROM session_runs AS r WHERE r.org_id = :org_id AND r.session_id = :session_id
