-- The last change of a message that can be told, unless it is of an earlier transaction.
SELECT m.id, m.transaction, m.update_time FROM messages AS m
WHERE m.org_id = :org_id
    AND m.transaction >= :transaction
    AND m.transaction < :settled
ORDER BY m.transaction DESC, m.id DESC
LIMIT 1
