-- Forget what was worked off long ago, a bounded number at a time: Meta sends it again no more.
WITH old AS MATERIALIZED (
    SELECT i.org_id, i.key
    FROM whatsapp_inbox AS i
    WHERE i.done_time < now() - CAST(:age AS interval)
    ORDER BY i.done_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
)

DELETE FROM whatsapp_inbox AS i
USING old AS o
WHERE i.org_id = o.org_id AND i.key = o.key
