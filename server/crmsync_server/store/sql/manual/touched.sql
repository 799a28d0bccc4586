-- The contacts whose records a session has read.
SELECT DISTINCT r.contact_id
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.contact_id IS NOT NULL
