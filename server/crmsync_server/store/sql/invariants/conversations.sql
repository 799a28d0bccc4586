-- Everything that must hold of conversations at any committed moment; a row is a broken promise.
WITH said AS (
    SELECT
        m.*,
        CAST(m.message_time AT TIME ZONE 'UTC' AS date) AS day,
        lag(m.message_time) OVER line AS before_time,
        lag(m.conversation_id) OVER line AS before_id,
        max(m.message_time) FILTER (WHERE m.direction = 'OUTGOING') OVER (
            PARTITION BY m.org_id, m.contact_id, m.phone_number_id
        ) AS sent_time
    FROM messages AS m
    WINDOW line AS (
        PARTITION BY m.org_id, m.contact_id, m.phone_number_id ORDER BY m.message_time, m.id
    )
),

talks AS (
    SELECT
        s.org_id,
        s.conversation_id,
        s.contact_id,
        s.phone_number_id,
        count(*) AS message_count,
        count(*) FILTER (
            WHERE s.direction = 'INCOMING'
            AND NOT s.is_read
            AND s.message_time > coalesce(s.sent_time, '-infinity')
        ) AS unread_count,
        min(s.message_time) AS first_message_time,
        max(s.message_time) AS last_message_time,
        max(s.message_time) FILTER (WHERE s.direction = 'INCOMING') AS last_incoming_time
    FROM said AS s
    GROUP BY s.org_id, s.conversation_id, s.contact_id, s.phone_number_id
),

turns AS (
    SELECT
        m.*,
        count(*) FILTER (WHERE m.direction = 'OUTGOING' AND m.status <> 'FAILED') OVER (
            PARTITION BY m.org_id, m.contact_id, m.phone_number_id
            ORDER BY m.message_time, m.id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS turn
    FROM messages AS m
),

answered AS (
    SELECT
        t.org_id,
        t.id,
        t.response_time,
        CASE
            WHEN t.direction = 'OUTGOING' AND t.status <> 'FAILED'
                THEN t.message_time - min(t.message_time) FILTER (WHERE t.direction = 'INCOMING')
                    OVER (PARTITION BY t.org_id, t.contact_id, t.phone_number_id, t.turn)
        END AS true_time
    FROM turns AS t
),

met AS (
    SELECT
        m.org_id,
        m.contact_id,
        count(*) AS message_count,
        min(m.message_time) AS first_message_time,
        max(m.message_time) AS last_message_time
    FROM messages AS m
    GROUP BY m.org_id, m.contact_id
),

moved (org_id, day, sent, received, new_contacts, last_contacts, answers, response_time) AS (
    SELECT
        s.org_id,
        s.day,
        count(*) FILTER (WHERE s.direction = 'OUTGOING'),
        count(*) FILTER (WHERE s.direction = 'INCOMING'),
        0,
        0,
        count(s.response_time),
        coalesce(sum(s.response_time), '0')
    FROM said AS s
    GROUP BY s.org_id, s.day
    UNION ALL
    SELECT
        m.org_id, CAST(m.first_message_time AT TIME ZONE 'UTC' AS date),
        0, 0, 1, 0, 0, INTERVAL '0'
    FROM met AS m
    UNION ALL
    SELECT
        m.org_id, CAST(m.last_message_time AT TIME ZONE 'UTC' AS date),
        0, 0, 0, 1, 0, INTERVAL '0'
    FROM met AS m
),

true_days AS (
    SELECT
        m.org_id,
        m.day,
        sum(m.sent) AS sent,
        sum(m.received) AS received,
        sum(m.new_contacts) AS new_contacts,
        sum(m.last_contacts) AS last_contacts,
        sum(m.answers) AS answers,
        sum(m.response_time) AS response_time
    FROM moved AS m
    GROUP BY m.org_id, m.day
),

steps (status, told, rank) AS (
    VALUES
    ('QUEUED', '', 0),
    ('UNKNOWN', '', 1),
    ('SENT', 'sent', 2),
    ('FAILED', 'failed', 3),
    ('DELIVERED', 'delivered', 4),
    ('READ', 'read', 5)
)

SELECT
    'a conversation is what its messages are' AS promise,
    coalesce(t.org_id, v.org_id) AS org_id,
    CAST(coalesce(t.conversation_id, v.id) AS text) AS subject
FROM talks AS t
FULL JOIN conversations AS v
    ON v.org_id = t.org_id
        AND v.id = t.conversation_id
        AND v.contact_id = t.contact_id
        AND v.phone_number_id = t.phone_number_id
WHERE (
        v.message_count,
        v.unread_count,
        v.first_message_time,
        v.last_message_time,
        v.last_incoming_time
    ) IS DISTINCT FROM (
        t.message_count,
        t.unread_count,
        t.first_message_time,
        t.last_message_time,
        t.last_incoming_time
    )

UNION ALL

SELECT 'a conversation ends with a pause or where it was closed', s.org_id, CAST(s.id AS text)
FROM said AS s
WHERE s.before_time IS NOT NULL
    AND (s.conversation_id IS DISTINCT FROM s.before_id) IS DISTINCT FROM (
        s.message_time >= s.before_time + INTERVAL '24 hours'
        OR EXISTS (
            SELECT
            FROM conversation_closings AS e
            WHERE e.org_id = s.org_id
                AND e.contact_id = s.contact_id
                AND e.phone_number_id = s.phone_number_id
                AND e.close_time >= s.before_time
                AND e.close_time < s.message_time
        )
    )

UNION ALL

SELECT 'only the last conversation of a contact is open', v.org_id, CAST(v.id AS text)
FROM conversations AS v
INNER JOIN conversations AS o
    ON o.org_id = v.org_id
        AND o.contact_id = v.contact_id
        AND o.phone_number_id = v.phone_number_id
        AND o.first_message_time > v.last_message_time
WHERE v.status = 'OPEN'

UNION ALL

SELECT
    'conversations are counted by their status', coalesce(n.org_id, v.org_id),
    coalesce(n.status, v.status)
FROM (
    SELECT c.org_id, c.status, count(*) AS total
    FROM conversations AS c
    GROUP BY c.org_id, c.status
) AS v
FULL JOIN conversation_counts AS n ON n.org_id = v.org_id AND n.status = v.status
WHERE coalesce(n.total, 0) <> coalesce(v.total, 0)

UNION ALL

SELECT 'a contact shows what is unread of it, and when something was said last', c.org_id,
    CAST(c.id AS text)
FROM contacts AS c
INNER JOIN met AS m ON m.org_id = c.org_id AND m.contact_id = c.id
WHERE c.last_message_time IS DISTINCT FROM m.last_message_time
    OR c.unread_count <> (
        SELECT coalesce(sum(v.unread_count), 0)
        FROM conversations AS v
        WHERE v.org_id = c.org_id AND v.contact_id = c.id
    )

UNION ALL

SELECT 'a correspondent is what its messages are', coalesce(m.org_id, o.org_id),
    CAST(coalesce(m.contact_id, o.contact_id) AS text)
FROM met AS m
FULL JOIN correspondents AS o ON o.org_id = m.org_id AND o.contact_id = m.contact_id
WHERE (o.message_count, o.first_message_time, o.last_message_time)
    IS DISTINCT FROM (m.message_count, m.first_message_time, m.last_message_time)

UNION ALL

SELECT 'a day is kept up', coalesce(d.org_id, t.org_id), CAST(coalesce(d.day, t.day) AS text)
FROM true_days AS t
FULL JOIN message_days AS d ON d.org_id = t.org_id AND d.day = t.day
WHERE (
        coalesce(d.sent, 0), coalesce(d.received, 0), coalesce(d.new_contacts, 0),
        coalesce(d.last_contacts, 0), coalesce(d.answers, 0), coalesce(d.response_time, '0')
    ) IS DISTINCT FROM (
        coalesce(t.sent, 0), coalesce(t.received, 0), coalesce(t.new_contacts, 0),
        coalesce(t.last_contacts, 0), coalesce(t.answers, 0), coalesce(t.response_time, '0')
    )

UNION ALL

SELECT 'an answer knows how long it was waited for', a.org_id, CAST(a.id AS text)
FROM answered AS a
WHERE a.response_time IS DISTINCT FROM a.true_time

UNION ALL

SELECT 'a message is as far as was told of it', m.org_id, CAST(m.id AS text)
FROM messages AS m
INNER JOIN steps AS s ON s.status = m.status
INNER JOIN message_statuses AS t ON t.org_id = m.org_id AND t.whatsapp_id = m.whatsapp_id
INNER JOIN steps AS o ON o.told = t.status
WHERE m.direction = 'OUTGOING' AND o.rank > s.rank

UNION ALL

SELECT 'what is queued is in the outbox', m.org_id, CAST(m.id AS text)
FROM messages AS m
LEFT JOIN message_outbox AS o ON o.org_id = m.org_id AND o.message_id = m.id
WHERE m.status = 'QUEUED' AND o.message_id IS NULL
