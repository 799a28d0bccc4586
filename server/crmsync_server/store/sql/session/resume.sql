-- Let a paused session go on.
UPDATE sessions AS s SET state = 'RUNNING', revision = s.revision + 1, update_time = now()
WHERE s.org_id = :org_id AND s.id = :session_id AND s.state = 'PAUSED'
RETURNING s.*
