-- Put a message back that was certainly not taken; :pause keeps the whole number still until then. One
-- that a webhook has told of meanwhile was taken after all, and is not put back.
WITH paused AS (
    UPDATE whatsapp_numbers AS n SET next_send_time = greatest(n.next_send_time, :until)
    WHERE n.org_id = :org_id
        AND CAST(:pause AS text) <> 'RECIPIENT'
        AND (:pause = 'ACCOUNT' OR n.id = :phone_number_id)
),

taken AS (
    SELECT m.id
    FROM messages AS m
    WHERE m.org_id = :org_id AND m.id = :message_id AND m.whatsapp_id IS NOT NULL
),

gone AS (
    DELETE FROM message_outbox AS o
    USING taken AS t
    WHERE o.org_id = :org_id AND o.message_id = t.id
)

UPDATE message_outbox AS o SET lease_end_time = NULL, due_time = :until
WHERE o.org_id = :org_id
    AND o.message_id = :message_id
    AND o.lease_end_time IS NOT NULL
    AND NOT EXISTS (SELECT FROM taken)
