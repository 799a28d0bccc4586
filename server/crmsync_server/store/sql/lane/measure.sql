-- Remember how fast a lane goes, smoothed over the last few measurements.
INSERT INTO lanes AS l (org_id, crm, records_per_second)
VALUES (:org_id, :crm, :records_per_second)
ON CONFLICT (org_id, crm) DO UPDATE SET
    records_per_second = 0.7 * excluded.records_per_second
    + 0.3 * coalesce(l.records_per_second, excluded.records_per_second),
    update_time = now()
