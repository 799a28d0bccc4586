-- Add messages, but for those that are known already, and keep up what is counted of days and of
-- contacts; answer which were added.
WITH added AS (
    INSERT INTO messages (
        org_id, id, whatsapp_id, contact_id, phone_number_id, direction, type, text, payload, status,
        message_time, transaction
    )
    SELECT
        :org_id,
        i.id,
        nullif(i.whatsapp_id, ''),
        i.contact_id,
        i.phone_number_id,
        i.direction,
        i.type,
        i.text,
        CAST(i.payload AS jsonb),
        i.status,
        i.message_time,
        CAST(CAST(pg_current_xact_id() AS text) AS bigint)
    FROM unnest(
        CAST(:ids AS uuid []),
        CAST(:whatsapp_ids AS text []),
        CAST(:contact_ids AS uuid []),
        CAST(:phone_number_ids AS text []),
        CAST(:directions AS text []),
        CAST(:types AS text []),
        CAST(:texts AS text []),
        CAST(:payloads AS text []),
        CAST(:statuses AS text []),
        CAST(:message_times AS timestamptz [])
    ) AS i (
        id, whatsapp_id, contact_id, phone_number_id, direction, type, text, payload, status,
        message_time
    )
    ON CONFLICT DO NOTHING
    RETURNING id, contact_id, phone_number_id, direction, message_time
),

met AS (
    SELECT
        a.contact_id,
        count(*) AS message_count,
        least(min(a.message_time), min(c.first_message_time)) AS first_time,
        greatest(max(a.message_time), max(c.last_message_time)) AS last_time,
        min(c.first_message_time) AS old_first_time,
        min(c.last_message_time) AS old_last_time
    FROM added AS a
    LEFT JOIN correspondents AS c ON c.org_id = :org_id AND c.contact_id = a.contact_id
    GROUP BY a.contact_id
),

corresponding AS (
    INSERT INTO correspondents AS c (
        org_id, contact_id, message_count, first_message_time, last_message_time
    )
    SELECT :org_id, m.contact_id, m.message_count, m.first_time, m.last_time
    FROM met AS m
    ON CONFLICT (org_id, contact_id) DO UPDATE SET
        message_count = c.message_count + excluded.message_count,
        first_message_time = excluded.first_message_time,
        last_message_time = excluded.last_message_time
),

moved (day, sent, received, new_contacts, last_contacts) AS (
    SELECT
        CAST(a.message_time AT TIME ZONE 'UTC' AS date),
        CAST(a.direction = 'OUTGOING' AS integer),
        CAST(a.direction = 'INCOMING' AS integer),
        0,
        0
    FROM added AS a
    UNION ALL
    SELECT CAST(m.first_time AT TIME ZONE 'UTC' AS date), 0, 0, 1, 0 FROM met AS m
    UNION ALL
    SELECT CAST(m.old_first_time AT TIME ZONE 'UTC' AS date), 0, 0, -1, 0
    FROM met AS m
    WHERE m.old_first_time IS NOT NULL
    UNION ALL
    SELECT CAST(m.last_time AT TIME ZONE 'UTC' AS date), 0, 0, 0, 1 FROM met AS m
    UNION ALL
    SELECT CAST(m.old_last_time AT TIME ZONE 'UTC' AS date), 0, 0, 0, -1
    FROM met AS m
    WHERE m.old_last_time IS NOT NULL
),

kept_up AS (
    INSERT INTO message_days AS d (org_id, day, sent, received, new_contacts, last_contacts)
    SELECT :org_id, m.day, sum(m.sent), sum(m.received), sum(m.new_contacts), sum(m.last_contacts)
    FROM moved AS m
    GROUP BY m.day
    ON CONFLICT (org_id, day) DO UPDATE SET
        sent = d.sent + excluded.sent,
        received = d.received + excluded.received,
        new_contacts = d.new_contacts + excluded.new_contacts,
        last_contacts = d.last_contacts + excluded.last_contacts
)

SELECT a.id, a.contact_id, a.phone_number_id, a.direction, a.message_time
FROM added AS a
