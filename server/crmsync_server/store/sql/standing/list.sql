-- How one contact stands at every CRM that it was ever selected for, as get.sql tells it; the contact alone
-- when at none.
SELECT
    cs.*,
    c.email,
    CASE
        WHEN cs.sync_status = 'QUEUED' AND cs.due_time > timestamptz '9999-01-01 00:00:00+00'
            THEN (
                SELECT si.session_id
                FROM session_items AS si
                INNER JOIN sessions AS s ON s.org_id = si.org_id AND s.id = si.session_id
                WHERE si.org_id = cs.org_id
                    AND si.contact_id = cs.contact_id
                    AND si.crm = cs.crm
                    AND si.min_attempt > cs.settled_attempt
                    AND si.outcome IS NULL
                    AND s.state = 'PAUSED'
                ORDER BY s.id
                LIMIT 1
            )
    END AS paused_session_id
FROM contacts AS c
LEFT JOIN contact_syncs AS cs ON cs.org_id = c.org_id AND cs.contact_id = c.id
WHERE c.org_id = :org_id AND c.id = :contact_id AND c.delete_time IS NULL
