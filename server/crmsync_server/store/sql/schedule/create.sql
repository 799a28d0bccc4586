-- Keep a schedule.
INSERT INTO schedules (
    org_id, id, display_name, cron, time_zone, crm, action, enabled, next_run_time, creator
)
VALUES (
    :org_id, :id, :display_name, :cron, :time_zone, :crm, CAST(:action AS jsonb), :enabled,
    :next_run_time, :creator
)
RETURNING *
