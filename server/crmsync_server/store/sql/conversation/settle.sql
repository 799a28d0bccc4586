-- Make conversations anew of what was said, around messages that came or changed: from the first message
-- of the earliest conversation that they may belong to, to the last one of the latest. A conversation
-- ends with a pause of a day, or where somebody closed it. Further away nothing changes by them.
-- OFFSET 0 keeps the order of the joins as it is written: of young tables the planner knows nothing.
-- Whichever order messages come in, it ends the same; a conversation keeps its id while it grows, and of
-- two that become one the earlier one's stays. The first id is that of the message that opened it.
WITH touched AS (
    SELECT t.*
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:phone_number_ids AS text []),
        CAST(:first_times AS timestamptz []),
        CAST(:last_times AS timestamptz []),
        CAST(:sent AS boolean [])
    ) AS t (contact_id, phone_number_id, first_time, last_time, sent)
),

near AS (
    SELECT t.contact_id, t.phone_number_id, c.first_message_time, c.last_message_time
    FROM touched AS t
    CROSS JOIN LATERAL (
        SELECT v.first_message_time, v.last_message_time
        FROM conversations AS v
        WHERE v.org_id = :org_id
            AND v.contact_id = t.contact_id
            AND v.phone_number_id = t.phone_number_id
            AND (
                v.status = 'OPEN'
                -- Whoever answers has read everything before.
                OR (t.sent AND v.unread_count > 0)
                OR (
                    v.first_message_time <= t.last_time + INTERVAL '24 hours'
                    AND v.last_message_time >= t.first_time - INTERVAL '24 hours'
                )
            )
        OFFSET 0
    ) AS c
),

spans AS MATERIALIZED (
    SELECT
        t.contact_id,
        t.phone_number_id,
        least(t.first_time, min(n.first_message_time)) AS first_time,
        greatest(t.last_time, max(n.last_message_time)) AS last_time,
        (
            SELECT max(m.message_time)
            FROM messages AS m
            WHERE m.org_id = :org_id
                AND m.contact_id = t.contact_id
                AND m.phone_number_id = t.phone_number_id
                AND m.direction = 'OUTGOING'
        ) AS sent_time,
        (
            SELECT array_agg(e.close_time)
            FROM conversation_closings AS e
            WHERE e.org_id = :org_id
                AND e.contact_id = t.contact_id
                AND e.phone_number_id = t.phone_number_id
        ) AS closings
    FROM touched AS t
    LEFT JOIN near AS n ON n.contact_id = t.contact_id AND n.phone_number_id = t.phone_number_id
    GROUP BY t.contact_id, t.phone_number_id, t.first_time, t.last_time
),

said AS (
    SELECT
        m.id,
        m.conversation_id,
        m.contact_id,
        m.phone_number_id,
        m.direction,
        m.message_time,
        s.closings,
        CASE WHEN m.text = '' THEN concat('[', m.type, ']') ELSE left(m.text, 200) END AS shown,
        m.direction = 'INCOMING'
        AND NOT m.is_read
        AND m.message_time > coalesce(s.sent_time, '-infinity') AS unread,
        lag(m.message_time) OVER (
            PARTITION BY m.contact_id, m.phone_number_id ORDER BY m.message_time, m.id
        ) AS before_time
    FROM spans AS s
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM messages AS o
        WHERE o.org_id = :org_id
            AND o.contact_id = s.contact_id
            AND o.phone_number_id = s.phone_number_id
            AND o.message_time BETWEEN s.first_time AND s.last_time
        OFFSET 0
    ) AS m
),

placed AS (
    SELECT
        s.*,
        count(*) FILTER (
            WHERE s.before_time IS NULL
            OR s.message_time >= s.before_time + INTERVAL '24 hours'
            OR (
                s.closings IS NOT NULL
                AND EXISTS (
                    SELECT
                    FROM unnest(s.closings) AS e (close_time)
                    WHERE e.close_time >= s.before_time AND e.close_time < s.message_time
                )
            )
        ) OVER (
            PARTITION BY s.contact_id, s.phone_number_id ORDER BY s.message_time, s.id
        ) AS place
    FROM said AS s
),

-- Lists of messages go along, so that nothing is joined to what has no statistics.
grouped AS (
    SELECT
        p.contact_id,
        p.phone_number_id,
        p.place,
        p.closings,
        count(*) AS message_count,
        count(*) FILTER (WHERE p.unread) AS unread_count,
        min(p.message_time) AS first_message_time,
        max(p.message_time) AS last_message_time,
        max(p.message_time) FILTER (WHERE p.direction = 'INCOMING') AS last_incoming_time,
        (array_agg(p.shown ORDER BY p.message_time DESC, p.id DESC))[1] AS last_message,
        array_agg(p.id ORDER BY p.message_time, p.id) AS ids,
        array_agg(p.conversation_id ORDER BY p.message_time, p.id) AS former_ids
    FROM placed AS p
    GROUP BY p.contact_id, p.phone_number_id, p.place, p.closings
),

following AS (
    SELECT
        g.*,
        coalesce(
            (
                SELECT o.id
                FROM unnest(g.former_ids) WITH ORDINALITY AS o (id, place)
                WHERE o.id IS NOT NULL
                ORDER BY o.place
                LIMIT 1
            ),
            g.ids[1]
        ) AS id,
        lead(g.first_message_time) OVER (
            PARTITION BY g.contact_id, g.phone_number_id ORDER BY g.place
        ) AS next_time
    FROM grouped AS g
),

ended AS (
    SELECT
        f.*,
        least(
            (
                SELECT min(e.close_time)
                FROM unnest(f.closings) AS e (close_time)
                WHERE e.close_time >= f.last_message_time
                    AND e.close_time < coalesce(f.next_time, 'infinity')
            ),
            CASE
                WHEN f.next_time IS NOT NULL OR f.last_message_time <= now() - INTERVAL '24 hours'
                    THEN f.last_message_time + INTERVAL '24 hours'
            END
        ) AS close_time
    FROM following AS f
),

former AS (
    SELECT c.id, c.status
    FROM (
        SELECT DISTINCT s.conversation_id FROM said AS s WHERE s.conversation_id IS NOT NULL
    ) AS s
    CROSS JOIN LATERAL (
        SELECT v.id, v.status
        FROM conversations AS v
        WHERE v.org_id = :org_id AND v.id = s.conversation_id
        OFFSET 0
    ) AS c
),

removed AS (
    DELETE FROM conversations AS c
    USING (SELECT o.id FROM former AS o WHERE o.id NOT IN (SELECT e.id FROM ended AS e)) AS gone
    WHERE c.org_id = :org_id AND c.id = gone.id
),

written AS (
    INSERT INTO conversations AS c (
        org_id, id, contact_id, phone_number_id, status, message_count, unread_count,
        first_message_time, last_message_time, last_incoming_time, last_message, close_time
    )
    SELECT
        :org_id,
        e.id,
        e.contact_id,
        e.phone_number_id,
        CASE WHEN e.close_time IS NULL THEN 'OPEN' ELSE 'CLOSED' END,
        e.message_count,
        e.unread_count,
        e.first_message_time,
        e.last_message_time,
        e.last_incoming_time,
        e.last_message,
        e.close_time
    FROM ended AS e
    ON CONFLICT (org_id, id) DO UPDATE SET
        status = excluded.status,
        message_count = excluded.message_count,
        unread_count = excluded.unread_count,
        first_message_time = excluded.first_message_time,
        last_message_time = excluded.last_message_time,
        last_incoming_time = excluded.last_incoming_time,
        last_message = excluded.last_message,
        close_time = excluded.close_time
),

moved AS (
    UPDATE messages AS m SET
        conversation_id = o.conversation_id,
        transaction = CAST(CAST(pg_current_xact_id() AS text) AS bigint),
        update_time = now()
    FROM (
        SELECT u.id, e.id AS conversation_id
        FROM ended AS e
        CROSS JOIN LATERAL unnest(e.ids, e.former_ids) AS u (id, former_id)
        WHERE u.former_id IS DISTINCT FROM e.id
    ) AS o
    WHERE m.org_id = :org_id AND m.id = o.id
),

counted (status, change) AS (
    SELECT o.status, -1 FROM former AS o
    UNION ALL
    SELECT CASE WHEN e.close_time IS NULL THEN 'OPEN' ELSE 'CLOSED' END, 1 FROM ended AS e
)

INSERT INTO conversation_counts AS n (org_id, status, total)
SELECT :org_id, c.status, sum(c.change)
FROM counted AS c
GROUP BY c.status
HAVING sum(c.change) <> 0
ON CONFLICT (org_id, status) DO UPDATE SET total = n.total + excluded.total
