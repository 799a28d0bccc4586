-- Forget a lane's trips: it delivers.
UPDATE lanes AS l SET trips = 0, update_time = now()
WHERE l.org_id = :org_id AND l.crm = :crm AND l.trips > 0 AND NOT l.probing
