-- Write down how a locked schedule ran, and when it runs next; one that never does is
-- not enabled any more.
UPDATE schedules AS s SET
    last_run_time = now(),
    last_session_id = :session_id,
    last_error = :error,
    next_run_time = :next_run_time,
    enabled = CAST(:next_run_time AS timestamptz) IS NOT NULL
WHERE s.org_id = :org_id AND s.id = :schedule_id
RETURNING s.*
