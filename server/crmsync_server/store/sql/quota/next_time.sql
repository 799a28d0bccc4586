-- When a reservation of :cost would be granted without waiting.
SELECT q.arrival_time + CAST(:cost AS interval) - CAST(:burst AS interval) AS next_time
FROM quotas AS q
WHERE q.org_id = :org_id AND q.crm = :crm AND q.bucket = :bucket
