-- A page of a conversation's messages, newest first.
SELECT m.*
FROM messages AS m
WHERE m.org_id = :org_id
    AND m.conversation_id = :conversation_id
    AND (
        CAST(:before_time AS timestamptz) IS NULL
        OR (m.message_time, m.id) < (:before_time, CAST(:before_id AS uuid))
    )
ORDER BY m.message_time DESC, m.id DESC
LIMIT :size
