-- The session of a kind that is active at a CRM, the oldest of several; dry runs stand in nobody's way.
SELECT s.id
FROM sessions AS s
WHERE s.org_id = :org_id
    AND s.crm = :crm
    AND s.kind = :kind
    AND s.end_time IS NULL
    AND (s.exclusive OR NOT s.dry_run)
ORDER BY s.id
LIMIT 1
