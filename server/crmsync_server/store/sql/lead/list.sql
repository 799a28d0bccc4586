-- A page of leads, newest first, older than a place.
SELECT l.*
FROM leads AS l
WHERE l.org_id = :org_id
    AND (l.create_time, l.id) < (
        coalesce(CAST(:before_time AS timestamptz), timestamptz 'infinity'),
        CAST(:before_id AS text)
    )
    AND (CAST(:crm AS text) IS NULL OR l.crm = :crm)
    AND (
        CAST(:status_codes AS integer []) IS NULL
        OR l.status_code = ANY(CAST(:status_codes AS integer []))
    )
    AND (CAST(:ftd_exists AS boolean) IS NULL OR l.ftd_exists = :ftd_exists)
    AND (CAST(:email_key AS text) IS NULL OR l.email_key = :email_key)
    AND (CAST(:registration AS text) IS NULL OR l.registration = :registration)
    AND (
        CAST(:session_id AS uuid) IS NULL
        OR EXISTS (
            SELECT 1
            FROM session_records AS r
            WHERE r.org_id = l.org_id
                AND r.session_id = :session_id
                AND r.direction = 'PULL'
                AND r.key = l.id
                AND r.action IN ('UPDATED', 'UNCHANGED')
        )
    )
ORDER BY l.create_time DESC, l.id DESC
LIMIT :size
