-- Let a lane deliver again; :codes says what for it may be waiting, NULL that it does not matter. What
-- a probe has found (:probed) ends no pause by hand, and leaves the count of trips: only a delivery
-- that succeeds proves that the fault is over.
UPDATE lanes AS l SET
    paused_until = CASE WHEN :probed AND l.paused_until = 'infinity' THEN l.paused_until END,
    pause_code = CASE WHEN :probed AND l.paused_until = 'infinity' THEN l.pause_code END,
    pause_message = CASE WHEN :probed AND l.paused_until = 'infinity' THEN l.pause_message END,
    probing = FALSE,
    trips = CASE WHEN :probed THEN l.trips ELSE 0 END,
    update_time = now()
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND (CAST(:codes AS text []) IS NULL OR l.pause_code = ANY(CAST(:codes AS text [])))
    AND (l.probing OR l.paused_until IS NOT NULL)
RETURNING l.crm
