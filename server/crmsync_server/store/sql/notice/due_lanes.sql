-- For which CRMs of which organizations notices wait, and for how long still. From one to the next by
-- the index, so that it costs nothing more where many wait.
WITH RECURSIVE lanes AS (
    (
        SELECT n.org_id, n.crm
        FROM notices AS n
        WHERE n.done_time IS NULL
        ORDER BY n.org_id, n.crm
        LIMIT 1
    )
    UNION ALL
    SELECT following.org_id, following.crm
    FROM lanes AS l
    CROSS JOIN LATERAL (
        SELECT n.org_id, n.crm
        FROM notices AS n
        WHERE n.done_time IS NULL AND (n.org_id, n.crm) > (l.org_id, l.crm)
        ORDER BY n.org_id, n.crm
        LIMIT 1
    ) AS following
)

SELECT
    l.org_id,
    l.crm,
    greatest(extract(EPOCH FROM first.due_time - now()), 0) AS wait_seconds
FROM lanes AS l
CROSS JOIN LATERAL (
    SELECT n.due_time
    FROM notices AS n
    WHERE n.org_id = l.org_id AND n.crm = l.crm AND n.done_time IS NULL
    ORDER BY n.due_time
    LIMIT 1
) AS first
