-- What is linked to a record that a whole reading did not bring: it may be gone. What was linked or
-- agreed on since the session began says nothing: the reading may have been past it.
INSERT INTO session_records (org_id, session_id, direction, key, contact_id)
SELECT b.org_id, s.id, 'PULL', b.crm_contact_id, b.contact_id
FROM sessions AS s
INNER JOIN sync_bases AS b ON b.org_id = s.org_id AND b.crm = s.crm
WHERE s.org_id = :org_id
    AND s.id = :session_id
    AND b.update_time < s.create_time
    AND NOT EXISTS (
        SELECT FROM session_records AS r
        WHERE r.org_id = s.org_id
            AND r.session_id = s.id
            AND r.direction = 'PULL'
            AND r.key = b.crm_contact_id
    )
ON CONFLICT DO NOTHING
