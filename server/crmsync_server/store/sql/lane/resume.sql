-- Let a lane deliver again; :codes says what for it may be waiting, NULL that it does not matter. What
-- a probe has found leaves the count of trips: only a delivery that succeeds proves that the fault is
-- over. Nor does it end what somebody else meanwhile made longer than the probe's own time (:probed),
-- a pause by hand or one that the CRM asked for; of that one the reason is not known any more.
UPDATE lanes AS l SET
    (paused_until, pause_code, pause_message) = (
        SELECT
            w.until,
            CASE
                WHEN w.until = 'infinity' THEN l.pause_code
                WHEN w.until IS NOT NULL THEN 'RATE_LIMIT'
            END,
            CASE
                WHEN w.until = 'infinity' THEN l.pause_message
                WHEN w.until IS NOT NULL THEN 'the CRM asked to wait'
            END
        FROM (
            SELECT
                CASE
                    WHEN l.paused_until > CAST(:probed AS timestamptz) THEN l.paused_until
                END AS until
        ) AS w
    ),
    probing = FALSE,
    trips = CASE WHEN CAST(:probed AS timestamptz) IS NULL THEN 0 ELSE l.trips END,
    update_time = now()
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND (CAST(:codes AS text []) IS NULL OR l.pause_code = ANY(CAST(:codes AS text [])))
    AND (l.probing OR (l.paused_until IS NOT NULL AND CAST(:probed AS timestamptz) IS NULL))
RETURNING l.crm
