-- Note what became of a message that was handed over, and take it out of the outbox. What a webhook has
-- told meanwhile stays. Answer how it stands, nothing when it is not in the outbox any more, unless it
-- was given up as unknown and its answer came all the same.
WITH gone AS (
    DELETE FROM message_outbox AS o
    WHERE o.org_id = :org_id AND o.message_id = :message_id
    RETURNING o.message_id
)

UPDATE messages AS m SET
    whatsapp_id = coalesce(m.whatsapp_id, nullif(:whatsapp_id, '')),
    status = CASE WHEN m.status IN ('QUEUED', 'UNKNOWN') THEN :status ELSE m.status END,
    error = CASE WHEN m.status IN ('QUEUED', 'UNKNOWN') THEN CAST(:error AS jsonb) ELSE m.error END,
    transaction = CAST(CAST(pg_current_xact_id() AS text) AS bigint),
    update_time = now()
WHERE m.org_id = :org_id
    AND m.id = :message_id
    AND (EXISTS (SELECT FROM gone) OR (m.status = 'UNKNOWN' AND :status <> 'UNKNOWN'))
RETURNING
    m.id, m.contact_id, m.phone_number_id, m.direction, m.message_time, m.whatsapp_id,
    m.status = 'FAILED' AS turned
