-- Take a lane's probe, for as long as :lease: nobody else probes it meanwhile.
UPDATE lanes AS l SET paused_until = now() + CAST(:lease AS interval), update_time = now()
WHERE l.org_id = :org_id AND l.crm = :crm AND l.probing AND l.paused_until <= now()
RETURNING l.paused_until
