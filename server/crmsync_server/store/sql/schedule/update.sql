-- Change a locked schedule.
UPDATE schedules AS s SET
    display_name = :display_name,
    cron = :cron,
    time_zone = :time_zone,
    crm = :crm,
    action = CAST(:action AS jsonb),
    enabled = :enabled,
    next_run_time = :next_run_time,
    version = s.version + 1,
    update_time = now()
WHERE s.org_id = :org_id AND s.id = :schedule_id
RETURNING s.*
