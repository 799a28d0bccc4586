-- Take a schedule that is due, for this transaction: nobody else runs it meanwhile, and whoever comes
-- later finds it moved on. A crash gives it back as it was.
SELECT s.*, clock_timestamp() AS now
FROM schedules AS s
WHERE s.org_id = :org_id AND s.id = :schedule_id AND s.next_run_time <= now()
FOR UPDATE SKIP LOCKED
