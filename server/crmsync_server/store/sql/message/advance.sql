-- Move messages that were sent as far on as was told of them, never back; answer which have moved.
WITH steps (status, told, rank) AS (
    VALUES
    ('QUEUED', '', 0),
    ('UNKNOWN', '', 1),
    ('SENT', 'sent', 2),
    ('FAILED', 'failed', 3),
    ('DELIVERED', 'delivered', 4),
    ('READ', 'read', 5)
),

furthest AS (
    SELECT DISTINCT ON (t.whatsapp_id) t.whatsapp_id, s.status, s.rank, t.error
    FROM message_statuses AS t
    INNER JOIN steps AS s ON s.told = t.status
    WHERE t.org_id = :org_id AND t.whatsapp_id = ANY(CAST(:whatsapp_ids AS text []))
    ORDER BY t.whatsapp_id, s.rank DESC
)

UPDATE messages AS m SET
    status = f.status,
    error = CASE WHEN f.status = 'FAILED' THEN f.error END,
    transaction = CAST(CAST(pg_current_xact_id() AS text) AS bigint),
    update_time = now()
FROM furthest AS f
INNER JOIN messages AS o ON o.org_id = :org_id AND o.whatsapp_id = f.whatsapp_id
INNER JOIN steps AS s ON s.status = o.status
WHERE m.org_id = :org_id
    AND m.id = o.id
    AND m.direction = 'OUTGOING'
    AND f.rank > s.rank
RETURNING
    m.id,
    m.contact_id,
    m.phone_number_id,
    m.direction,
    m.message_time,
    f.status = 'FAILED' OR o.status = 'FAILED' AS turned
