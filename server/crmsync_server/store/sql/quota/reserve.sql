-- Reserve calls by GCRA: arrival_time is when all that was granted so far is used up at the steady
-- rate. Granted when the caller need not wait longer than :patience; no row when it would.
INSERT INTO quotas AS q (org_id, crm, bucket, arrival_time)
VALUES (:org_id, :crm, :bucket, now() + CAST(:cost AS interval))
ON CONFLICT (org_id, crm, bucket) DO UPDATE SET
    arrival_time = greatest(q.arrival_time, now()) + CAST(:cost AS interval)
WHERE greatest(q.arrival_time, now()) + CAST(:cost AS interval)
    <= now() + CAST(:burst AS interval) + CAST(:patience AS interval)
RETURNING greatest(q.arrival_time - CAST(:burst AS interval) - now(), interval '0') AS wait
