-- Close conversations that nothing was said in for a day, a bounded number at a time.
WITH due AS MATERIALIZED (
    SELECT v.id
    FROM conversations AS v
    WHERE v.org_id = :org_id
        AND v.status = 'OPEN'
        AND v.last_message_time <= now() - INTERVAL '24 hours'
    ORDER BY v.last_message_time
    LIMIT :size
),

ended AS (
    UPDATE conversations AS v SET
        status = 'CLOSED',
        close_time = v.last_message_time + INTERVAL '24 hours'
    FROM due AS d
    WHERE v.org_id = :org_id AND v.id = d.id
    RETURNING v.id
),

counted AS (
    INSERT INTO conversation_counts AS n (org_id, status, total)
    SELECT :org_id, c.status, c.change
    FROM (
        SELECT 'OPEN' AS status, -count(*) AS change FROM ended
        UNION ALL
        SELECT 'CLOSED', count(*) FROM ended
    ) AS c
    WHERE c.change <> 0
    ON CONFLICT (org_id, status) DO UPDATE SET total = n.total + excluded.total
)

SELECT count(*) FROM ended
