-- Keep a lane from delivering until a time, told by the server's :clock and kept by the database's; a
-- pause that lasts longer already stays, and so does the reason why a lane waits to be probed.
INSERT INTO lanes AS l (org_id, crm, paused_until, pause_code, pause_message, pause_time)
VALUES (
    :org_id, :crm,
    now() + (CAST(:until AS timestamptz) - CAST(:clock AS timestamptz)),
    :code, :message, now()
)
ON CONFLICT (org_id, crm) DO UPDATE SET
    paused_until = excluded.paused_until,
    pause_code = CASE WHEN l.probing THEN l.pause_code ELSE excluded.pause_code END,
    pause_message = CASE WHEN l.probing THEN l.pause_message ELSE excluded.pause_message END,
    pause_time =
        CASE WHEN l.probing OR l.paused_until > now() THEN l.pause_time ELSE now() END,
    update_time = now()
WHERE l.paused_until IS NULL OR l.paused_until < excluded.paused_until
