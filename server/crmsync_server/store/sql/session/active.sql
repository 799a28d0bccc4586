-- The session of a kind that is active at a CRM, and beside which no other may run.
SELECT s.id
FROM sessions AS s
WHERE s.org_id = :org_id
    AND s.crm = :crm
    AND s.kind = :kind
    AND s.exclusive
    AND s.end_time IS NULL
