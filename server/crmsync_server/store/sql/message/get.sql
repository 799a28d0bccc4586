-- One message.
SELECT m.* FROM messages AS m
WHERE m.org_id = :org_id AND m.id = :message_id
