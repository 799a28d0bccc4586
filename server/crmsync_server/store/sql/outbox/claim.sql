-- Mark messages as being sent: after this has been committed they are handed over once, and never again
-- by themselves. To one recipient one at a time, in order; from one number so many a second, over all
-- replicas, which is kept as the time when the next one may go.
WITH number AS MATERIALIZED (
    SELECT n.id, greatest(n.next_send_time, now() - CAST(:burst AS interval)) AS free_time
    FROM whatsapp_numbers AS n
    WHERE n.org_id = :org_id AND n.id = :phone_number_id AND n.next_send_time <= now()
    FOR UPDATE SKIP LOCKED
),

heads AS (
    SELECT DISTINCT ON (o.recipient) o.message_id, o.due_time, o.lease_end_time
    FROM message_outbox AS o
    INNER JOIN number AS n ON n.id = o.phone_number_id
    WHERE o.org_id = :org_id
    ORDER BY o.recipient, o.message_id
),

due AS MATERIALIZED (
    SELECT o.message_id
    FROM heads AS h
    INNER JOIN message_outbox AS o ON o.org_id = :org_id AND o.message_id = h.message_id
    WHERE h.lease_end_time IS NULL AND h.due_time <= now()
    ORDER BY o.message_id
    LIMIT :size
    FOR UPDATE OF o SKIP LOCKED
),

paced AS (
    UPDATE whatsapp_numbers AS n SET
        next_send_time = m.free_time + (SELECT count(*) FROM due) * CAST(:spacing AS interval)
    FROM number AS m
    WHERE n.org_id = :org_id AND n.id = m.id
)

UPDATE message_outbox AS o SET
    lease_end_time = now() + CAST(:lease AS interval),
    tries = o.tries + 1
FROM due AS d
WHERE o.org_id = :org_id AND o.message_id = d.message_id
RETURNING o.message_id, o.phone_number_id, o.recipient, o.content, o.tries
