-- The schedules of any organization, in the order in which they are due, each with the seconds until
-- then: 0 when it is due. By the database's clock, the only one that all replicas share.
SELECT
    s.org_id,
    s.id,
    greatest(extract(EPOCH FROM s.next_run_time - now()), 0) AS wait_seconds
FROM schedules AS s
WHERE s.next_run_time IS NOT NULL
ORDER BY s.next_run_time
LIMIT :size
