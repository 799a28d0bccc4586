-- When a contact was last received from: by the number of ours that is asked for, or else by the one it
-- wrote to last.
SELECT m.phone_number_id, m.message_time
FROM messages AS m
WHERE m.org_id = :org_id
    AND m.contact_id = :contact_id
    AND m.direction = 'INCOMING'
    AND (:phone_number_id = '' OR m.phone_number_id = :phone_number_id)
ORDER BY m.message_time DESC
LIMIT 1
