-- The sessions that read a CRM now.
SELECT r.session_id
FROM session_runs AS r
WHERE r.org_id = :org_id AND r.crm = :crm
ORDER BY r.session_id
