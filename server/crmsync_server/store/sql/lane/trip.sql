-- Close a lane until a probe finds that it may deliver again; each time in a row it waits twice as
-- long for the probe. Several workers see the same fault: the first one's word counts, until the next
-- probe (:probed) has looked; what that finds counts for nothing when the lane was set going meanwhile.
-- A pause by hand stays, and outlasts the fault.
INSERT INTO lanes AS l (
    org_id, crm, paused_until, pause_code, pause_message, pause_time, probing, trips
)
VALUES (:org_id, :crm, now() + CAST(:first AS interval), :code, :message, now(), TRUE, 1)
ON CONFLICT (org_id, crm) DO UPDATE SET
    paused_until = greatest(
        l.paused_until,
        now() + least(
            CAST(:most AS interval), CAST(:first AS interval) * power(2, least(l.trips, 20))
        )
    ),
    pause_code = CASE l.paused_until WHEN 'infinity' THEN l.pause_code ELSE :code END,
    pause_message = CASE l.paused_until WHEN 'infinity' THEN l.pause_message ELSE :message END,
    probing = TRUE,
    trips = l.trips + 1,
    pause_time =
        CASE WHEN l.probing OR l.paused_until > now() THEN l.pause_time ELSE now() END,
    update_time = now()
WHERE l.probing = CAST(:probed AS boolean)
RETURNING l.trips
