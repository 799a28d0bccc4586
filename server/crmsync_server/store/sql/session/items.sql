-- A page of what a session's items are: what was read first, by the CRM's ids, then what is delivered,
-- by the contacts' ids. Each part is a plain range of a primary key. A contact that was asked for and that
-- there is not is noted by its own id.
(
    SELECT
        'PULL' AS direction, r.key, r.contact_id,
        nullif(r.key, CAST(r.contact_id AS text)) AS crm_contact_id,
        coalesce(r.action, 'PENDING') AS outcome, 0 AS attempt,
        r.error_code, r.error_message, CAST(NULL AS text) AS skip_reason, r.fields,
        CASE WHEN r.action IS NOT NULL THEN r.create_time END AS end_time,
        FALSE AS removing
    FROM session_records AS r
    WHERE r.org_id = :org_id
        AND r.session_id = :session_id
        AND r.direction = 'PULL'
        AND :direction = 'PULL'
        AND r.key > :after
        AND (
            CAST(:outcomes AS text []) IS NULL
            OR coalesce(r.action, 'PENDING') = ANY(CAST(:outcomes AS text []))
        )
    ORDER BY r.key
    LIMIT :size
)

UNION ALL

(
    SELECT
        'PUSH', r.key, r.contact_id, NULL, r.action, 0, r.error_code, r.error_message, NULL,
        r.fields, r.create_time, FALSE
    FROM session_records AS r
    WHERE r.org_id = :org_id
        AND r.session_id = :session_id
        AND r.direction = 'PUSH'
        AND :direction = 'PLAN'
        -- That nothing would be delivered is no item.
        AND r.action <> 'UNCHANGED'
        AND r.key > :after
        AND (
            CAST(:outcomes AS text []) IS NULL OR r.action = ANY(CAST(:outcomes AS text []))
        )
    ORDER BY r.key
    LIMIT :size
)

UNION ALL

(
    SELECT
        'PUSH', CAST(si.contact_id AS text), si.contact_id, cs.crm_contact_id,
        coalesce(si.outcome, 'PENDING'), coalesce(si.attempt, 0),
        si.error_code, si.error_message, si.skip_reason, NULL, si.end_time,
        si.removing
    FROM session_items AS si
    LEFT JOIN contact_syncs AS cs
        ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
    WHERE si.org_id = :org_id
        AND si.session_id = :session_id
        AND :direction = 'PUSH'
        AND si.contact_id > CAST(:after_id AS uuid)
        AND (
            CAST(:outcomes AS text []) IS NULL
            OR coalesce(si.outcome, 'PENDING') = ANY(CAST(:outcomes AS text []))
        )
    ORDER BY si.contact_id
    LIMIT :size
)
