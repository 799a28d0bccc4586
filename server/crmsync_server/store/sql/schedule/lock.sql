-- A schedule, locked for what follows in this transaction, and the time by the clock that all
-- replicas share.
SELECT s.*, clock_timestamp() AS now
FROM schedules AS s
WHERE s.org_id = :org_id AND s.id = :schedule_id
FOR UPDATE
