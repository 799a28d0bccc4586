-- Find out anew how long contacts waited for answers, around messages that came or changed: an answer is
-- the next message that was sent and did not fail, and what it answers are those received since the one
-- before it. Nothing further away changes by them.
WITH touched AS (
    SELECT t.*
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:phone_number_ids AS text []),
        CAST(:first_times AS timestamptz []),
        CAST(:last_times AS timestamptz [])
    ) AS t (contact_id, phone_number_id, first_time, last_time)
    WHERE EXISTS (
            SELECT
            FROM messages AS m
            WHERE m.org_id = :org_id
                AND m.contact_id = t.contact_id
                AND m.phone_number_id = t.phone_number_id
                AND m.direction = 'OUTGOING'
                AND m.message_time >= t.first_time
        )
),

bounded AS (
    SELECT
        t.contact_id,
        t.phone_number_id,
        (
            SELECT max(m.message_time)
            FROM messages AS m
            WHERE m.org_id = :org_id
                AND m.contact_id = t.contact_id
                AND m.phone_number_id = t.phone_number_id
                AND m.direction = 'OUTGOING'
                AND m.status <> 'FAILED'
                AND m.message_time < t.first_time
        ) AS after,
        (
            SELECT min(m.message_time)
            FROM messages AS m
            WHERE m.org_id = :org_id
                AND m.contact_id = t.contact_id
                AND m.phone_number_id = t.phone_number_id
                AND m.direction = 'OUTGOING'
                AND m.status <> 'FAILED'
                AND m.message_time > t.last_time
        ) AS until
    FROM touched AS t
),

said AS (
    SELECT
        m.id,
        m.contact_id,
        m.phone_number_id,
        m.direction,
        m.message_time,
        m.response_time,
        m.direction = 'OUTGOING' AND m.status <> 'FAILED' AS sent,
        count(*) FILTER (WHERE m.direction = 'OUTGOING' AND m.status <> 'FAILED') OVER (
            PARTITION BY m.contact_id, m.phone_number_id
            ORDER BY m.message_time, m.id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS turn
    FROM bounded AS b
    INNER JOIN messages AS m
        ON m.org_id = :org_id
            AND m.contact_id = b.contact_id
            AND m.phone_number_id = b.phone_number_id
            AND m.message_time > coalesce(b.after, '-infinity')
            AND m.message_time <= coalesce(b.until, 'infinity')
),

waited AS (
    SELECT
        s.id,
        s.message_time,
        s.response_time,
        CASE
            WHEN s.sent
                THEN s.message_time - min(s.message_time) FILTER (WHERE s.direction = 'INCOMING')
                    OVER (PARTITION BY s.contact_id, s.phone_number_id, s.turn)
        END AS new_time
    FROM said AS s
),

changed AS (
    SELECT w.* FROM waited AS w WHERE w.response_time IS DISTINCT FROM w.new_time
),

noted AS (
    UPDATE messages AS m SET response_time = c.new_time
    FROM changed AS c
    WHERE m.org_id = :org_id AND m.id = c.id
)

INSERT INTO message_days AS d (org_id, day, answers, response_time)
SELECT
    :org_id,
    CAST(c.message_time AT TIME ZONE 'UTC' AS date) AS day,
    count(c.new_time) - count(c.response_time),
    coalesce(sum(c.new_time), '0') - coalesce(sum(c.response_time), '0')
FROM changed AS c
GROUP BY CAST(c.message_time AT TIME ZONE 'UTC' AS date)
ON CONFLICT (org_id, day) DO UPDATE SET
    answers = d.answers + excluded.answers,
    response_time = d.response_time + excluded.response_time
