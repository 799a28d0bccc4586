-- For which organizations something waits that webhooks told. From one to the next by the index, so
-- that it costs nothing more where much waits.
WITH RECURSIVE waiting AS (
    (
        SELECT i.org_id
        FROM whatsapp_inbox AS i
        WHERE i.done_time IS NULL
        ORDER BY i.org_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.org_id
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT i.org_id
        FROM whatsapp_inbox AS i
        WHERE i.done_time IS NULL AND i.org_id > w.org_id
        ORDER BY i.org_id
        LIMIT 1
    ) AS following
)

SELECT w.org_id FROM waiting AS w
