-- Stop a lane until it is resumed by hand. The first such pause stays; one of the engine's gives way.
INSERT INTO lanes AS l (
    org_id, crm, paused_until, pause_code, pause_message, pauser, pause_time
)
VALUES (:org_id, :crm, 'infinity', :code, :reason, :pauser, now())
ON CONFLICT (org_id, crm) DO UPDATE SET
    paused_until = excluded.paused_until,
    pause_code = excluded.pause_code,
    pause_message = excluded.pause_message,
    pauser = excluded.pauser,
    pause_time = excluded.pause_time,
    update_time = now()
WHERE l.paused_until IS DISTINCT FROM excluded.paused_until
