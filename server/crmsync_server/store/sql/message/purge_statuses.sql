-- Forget what was told of messages that nobody here sent, a bounded number at a time.
WITH old AS MATERIALIZED (
    SELECT s.org_id, s.whatsapp_id, s.status
    FROM message_statuses AS s
    WHERE s.receive_time < now() - CAST(:age AS interval)
        AND NOT EXISTS (
            SELECT FROM messages AS m WHERE m.org_id = s.org_id AND m.whatsapp_id = s.whatsapp_id
        )
    LIMIT :size
    FOR UPDATE SKIP LOCKED
)

DELETE FROM message_statuses AS s
USING old AS o
WHERE s.org_id = o.org_id AND s.whatsapp_id = o.whatsapp_id AND s.status = o.status
