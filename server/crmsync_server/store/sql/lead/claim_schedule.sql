-- Take upon oneself to make the hourly schedule; nothing when it was made before, whatever became of it.
INSERT INTO lead_totals AS t (org_id, crm, schedule_time)
VALUES (:org_id, :crm, now())
ON CONFLICT (org_id, crm) DO UPDATE SET schedule_time = excluded.schedule_time
    WHERE t.schedule_time IS NULL
RETURNING t.schedule_time
