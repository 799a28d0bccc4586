-- From which numbers of which organizations something is to be sent, and how long until then: of what
-- goes to one recipient the first message alone counts.
WITH RECURSIVE heads AS (
    (
        SELECT o.org_id, o.phone_number_id, o.recipient, o.due_time, o.lease_end_time
        FROM message_outbox AS o
        ORDER BY o.org_id, o.phone_number_id, o.recipient, o.message_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.*
    FROM heads AS h
    CROSS JOIN LATERAL (
        SELECT o.org_id, o.phone_number_id, o.recipient, o.due_time, o.lease_end_time
        FROM message_outbox AS o
        WHERE (o.org_id, o.phone_number_id, o.recipient)
            > (h.org_id, h.phone_number_id, h.recipient)
        ORDER BY o.org_id, o.phone_number_id, o.recipient, o.message_id
        LIMIT 1
    ) AS following
)

SELECT
    h.org_id,
    h.phone_number_id,
    greatest(
        extract(EPOCH FROM greatest(min(h.due_time), min(n.next_send_time)) - now()), 0
    ) AS wait_seconds
FROM heads AS h
INNER JOIN whatsapp_numbers AS n ON n.org_id = h.org_id AND n.id = h.phone_number_id
WHERE h.lease_end_time IS NULL
GROUP BY h.org_id, h.phone_number_id
