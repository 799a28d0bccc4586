-- Move a watermark forward; never back, since another session may have read further.
INSERT INTO watermarks AS w (org_id, crm, time, session_id)
VALUES (:org_id, :crm, :time, :session_id)
ON CONFLICT (org_id, crm) DO UPDATE SET
    time = excluded.time,
    session_id = excluded.session_id,
    update_time = now()
WHERE w.time < excluded.time
