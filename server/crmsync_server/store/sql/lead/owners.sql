-- The leads of a CRM that have one of these ids or emails, and whether a session has noted them.
SELECT
    l.id,
    l.email_key,
    l.crm_lead_id,
    l.create_time,
    EXISTS (
        SELECT 1
        FROM session_records AS r
        WHERE r.org_id = l.org_id
            AND r.session_id = CAST(:session_id AS uuid)
            AND r.direction = 'PULL'
            AND r.key = l.id
    ) AS noted
FROM leads AS l
WHERE l.org_id = :org_id
    AND l.crm = :crm
    AND (
        l.id = ANY(CAST(:ids AS text []))
        OR l.email_key = ANY(CAST(:emails AS text []))
    )
ORDER BY l.create_time, l.id
