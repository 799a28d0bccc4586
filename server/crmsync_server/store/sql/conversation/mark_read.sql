-- Note that everything received in a conversation was read here.
UPDATE messages AS m SET is_read = TRUE
WHERE m.org_id = :org_id
    AND m.conversation_id = :conversation_id
    AND m.direction = 'INCOMING'
    AND NOT m.is_read
