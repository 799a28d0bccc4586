-- The story of one contact, newest first, after a place in it: its attempts, the one under way, who
-- queued it, and from which sessions it was taken before it was delivered. `key` orders what
-- happened at the same time, and names the entry. Each part by the contact's own index: the cost
-- follows the contact's own story, not the tables.
WITH after AS (
    SELECT
        coalesce(CAST(:time AS timestamptz), 'infinity') AS time,
        coalesce(CAST(:key AS text), '') AS key
),

attempts AS (
    SELECT
        sa.crm,
        sa.end_time AS event_time,
        'c' || sa.crm || to_char(sa.attempt, 'FM0000000000') AS key,
        sa.attempt,
        sa.outcome,
        sa.start_time,
        sa.end_time,
        sa.error_code,
        sa.error_message,
        sa.request_id,
        sa.skip_reason,
        sa.crm_contact_id,
        sa.next_retry_time,
        sa.contact_version,
        sa.lease_owner,
        coalesce(sa.removal, FALSE) AS removal
    FROM sync_attempts AS sa
    WHERE sa.org_id = :org_id
        AND sa.contact_id = :contact_id
        AND (CAST(:crm AS text) IS NULL OR sa.crm = :crm)
        AND sa.end_time <= coalesce(CAST(:time AS timestamptz), 'infinity')
    UNION ALL
    SELECT
        cs.crm,
        cs.claim_time,
        'd' || cs.crm || to_char(cs.attempt, 'FM0000000000'),
        cs.attempt,
        NULL,
        cs.claim_time,
        NULL,
        NULL, NULL, NULL, NULL, NULL, NULL,
        cs.claimed_version,
        cs.lease_owner,
        FALSE
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.contact_id = :contact_id
        AND (CAST(:crm AS text) IS NULL OR cs.crm = :crm)
        AND cs.lease_until IS NOT NULL
),

items AS (
    SELECT
        si.crm,
        si.session_id,
        si.outcome,
        si.end_time,
        s.creator,
        s.kind,
        s.create_time
    FROM session_items AS si
    INNER JOIN sessions AS s ON s.org_id = si.org_id AND s.id = si.session_id
    WHERE si.org_id = :org_id
        AND si.contact_id = :contact_id
        AND (CAST(:crm AS text) IS NULL OR si.crm = :crm)
),

story AS (
    SELECT
        'ATTEMPT' AS event,
        a.*,
        CAST(NULL AS uuid) AS session_id,
        CAST(NULL AS text) AS creator,
        CAST(NULL AS text) AS kind
    FROM attempts AS a
    UNION ALL
    SELECT
        'QUEUED',
        i.crm,
        i.create_time,
        'a' || i.crm || i.session_id,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        i.session_id, i.creator, i.kind
    FROM items AS i
    UNION ALL
    SELECT
        'CANCELLED',
        i.crm,
        i.end_time,
        'b' || i.crm || i.session_id,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        i.session_id, i.creator, i.kind
    FROM items AS i
    WHERE i.outcome = 'CANCELLED'
)

SELECT s.*
FROM story AS s
CROSS JOIN after AS a
WHERE s.event_time < a.time
    OR (s.event_time = a.time AND s.key COLLATE "C" < a.key COLLATE "C")
ORDER BY s.event_time DESC, s.key COLLATE "C" DESC
LIMIT :size
