-- Give messages whose id at WhatsApp is not known yet the one that a status told with our own id. Those
-- that were put back in the belief that they were not taken have been taken: they are not sent again.
WITH adopted AS (
    UPDATE messages AS m SET whatsapp_id = t.whatsapp_id
    FROM (
        SELECT DISTINCT ON (s.message_id) s.message_id, s.whatsapp_id
        FROM message_statuses AS s
        WHERE s.org_id = :org_id
            AND s.whatsapp_id = ANY(CAST(:whatsapp_ids AS text []))
            AND s.message_id IS NOT NULL
        ORDER BY s.message_id, s.whatsapp_id
    ) AS t
    WHERE m.org_id = :org_id
        AND m.id = t.message_id
        AND m.direction = 'OUTGOING'
        AND m.whatsapp_id IS NULL
        AND NOT EXISTS (
            SELECT FROM messages AS o WHERE o.org_id = :org_id AND o.whatsapp_id = t.whatsapp_id
        )
    RETURNING m.id
)

DELETE FROM message_outbox AS o
USING adopted AS a
WHERE o.org_id = :org_id AND o.message_id = a.id AND o.lease_end_time IS NULL
