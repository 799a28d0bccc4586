-- Note that a conversation is over. WhatsApp's clock tells whole seconds: what comes within this one is
-- after it, but for what is there already.
INSERT INTO conversation_closings (org_id, contact_id, phone_number_id, close_time)
SELECT
    v.org_id,
    v.contact_id,
    v.phone_number_id,
    greatest(
        date_trunc('second', now()) - INTERVAL '1 microsecond', v.last_message_time
    )
FROM conversations AS v
WHERE v.org_id = :org_id AND v.id = :conversation_id AND v.status = 'OPEN'
ON CONFLICT (org_id, contact_id, phone_number_id, close_time) DO NOTHING
