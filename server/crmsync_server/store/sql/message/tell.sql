-- Keep what was told of messages that were sent; the first word of each kind holds.
INSERT INTO message_statuses (org_id, whatsapp_id, status, status_time, message_id, error)
SELECT
    :org_id, t.whatsapp_id, t.status, t.status_time, t.message_id, CAST(t.error AS jsonb)
FROM unnest(
    CAST(:whatsapp_ids AS text []),
    CAST(:statuses AS text []),
    CAST(:status_times AS timestamptz []),
    CAST(:message_ids AS uuid []),
    CAST(:errors AS text [])
) AS t (whatsapp_id, status, status_time, message_id, error)
ON CONFLICT (org_id, whatsapp_id, status) DO NOTHING
