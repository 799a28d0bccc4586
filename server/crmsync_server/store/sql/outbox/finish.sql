-- Note what became of a message that was handed over, and take it out of the outbox. What a webhook has
-- told meanwhile stays. Answer how it stands, nothing when it is not in the outbox any more.
WITH gone AS (
    DELETE FROM message_outbox AS o
    WHERE o.org_id = :org_id AND o.message_id = :message_id
    RETURNING o.message_id
)

UPDATE messages AS m SET
    whatsapp_id = coalesce(m.whatsapp_id, nullif(:whatsapp_id, '')),
    status = CASE WHEN m.status = 'QUEUED' THEN :status ELSE m.status END,
    error = CASE WHEN m.status = 'QUEUED' THEN CAST(:error AS jsonb) ELSE m.error END,
    transaction = CAST(CAST(pg_current_xact_id() AS text) AS bigint),
    update_time = now()
FROM gone AS g
WHERE m.org_id = :org_id AND m.id = g.message_id
RETURNING
    m.id, m.contact_id, m.phone_number_id, m.direction, m.message_time, m.whatsapp_id,
    m.status = 'FAILED' AS turned
