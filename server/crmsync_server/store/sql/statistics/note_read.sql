-- Count records that were read because webhooks told of them.
INSERT INTO read_hours AS h (org_id, crm, hour, slot, notice_records)
VALUES (
    :org_id, :crm, date_trunc('hour', now(), 'UTC'),
    CAST(CAST(pg_current_xact_id() AS text) AS bigint), :records
)
ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
    notice_records = h.notice_records + excluded.notice_records
