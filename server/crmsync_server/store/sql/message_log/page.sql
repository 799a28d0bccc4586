-- The next messages of an organization that changed after a place, in transactions that have all ended,
-- in the order in which they became visible. One that changes again moves on. crm: what watchers may
-- narrow the stream to, here the conversation.
SELECT m.*, CAST(m.conversation_id AS text) AS crm FROM messages AS m
WHERE m.org_id = :org_id
    AND m.transaction >= :transaction
    AND m.transaction < :settled
    AND (m.transaction, m.id) > (:transaction, :message_id)
ORDER BY m.transaction, m.id
LIMIT :size
