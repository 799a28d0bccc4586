-- A schedule.
SELECT s.*
FROM schedules AS s
WHERE s.org_id = :org_id AND s.id = :schedule_id
