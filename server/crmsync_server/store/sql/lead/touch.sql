-- Note that a CRM was asked about its leads with success.
INSERT INTO lead_totals AS t (org_id, crm, last_sync_time)
VALUES (:org_id, :crm, now())
ON CONFLICT (org_id, crm) DO UPDATE SET last_sync_time = excluded.last_sync_time
