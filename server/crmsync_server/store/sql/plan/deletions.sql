-- How many contacts a plan would delete or unlink.
SELECT count(*) AS contacts
FROM session_records AS r
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.action = 'DELETED'
