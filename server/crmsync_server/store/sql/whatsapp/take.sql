-- Take what waits the longest; it is done when the transaction commits, and waits again when it does
-- not.
WITH taken AS MATERIALIZED (
    SELECT i.key
    FROM whatsapp_inbox AS i
    WHERE i.org_id = :org_id AND i.done_time IS NULL
    ORDER BY i.receive_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
)

UPDATE whatsapp_inbox AS i SET done_time = now()
FROM taken AS t
WHERE i.org_id = :org_id AND i.key = t.key
RETURNING i.change
