-- Write down how a locked schedule ran, and when it runs next.
UPDATE schedules AS s SET
    last_run_time = now(),
    last_session_id = :session_id,
    last_error = :error,
    next_run_time = :next_run_time
WHERE s.org_id = :org_id AND s.id = :schedule_id
RETURNING s.*
