-- What is linked to a record that a whole reading did not bring: it may be gone. What was linked or
-- agreed on since the session began says nothing: the reading may have been past it.
-- Each record is looked up by its key, whatever the planner knows; see config/links.sql.
INSERT INTO session_records (org_id, session_id, direction, key, contact_id)
SELECT b.org_id, s.id, 'PULL', b.crm_contact_id, b.contact_id
FROM sessions AS s
INNER JOIN sync_bases AS b ON b.org_id = s.org_id AND b.crm = s.crm
LEFT JOIN LATERAL (
    SELECT k.key
    FROM session_records AS k
    WHERE k.org_id = s.org_id
        AND k.session_id = s.id
        AND k.direction = 'PULL'
        AND k.key = b.crm_contact_id
    OFFSET 0
) AS r ON TRUE
WHERE s.org_id = :org_id
    AND s.id = :session_id
    AND b.update_time < s.create_time
    AND r.key IS NULL
ON CONFLICT DO NOTHING
