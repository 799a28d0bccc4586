-- Which of these keys a session has noted.
SELECT r.key
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.key = ANY(CAST(:keys AS text []))
