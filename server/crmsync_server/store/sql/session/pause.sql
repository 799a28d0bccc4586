-- Pause a session that runs.
UPDATE sessions AS s SET state = 'PAUSED', revision = s.revision + 1, update_time = now()
WHERE s.org_id = :org_id AND s.id = :session_id AND s.state = 'RUNNING'
RETURNING s.*
