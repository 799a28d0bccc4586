-- A page of connections, by CRM, with the names of their secrets.
SELECT
    c.*,
    ARRAY(
        SELECT s.name
        FROM connection_secrets AS s
        WHERE s.org_id = c.org_id AND s.connection_id = c.id
        ORDER BY s.name
    ) AS names
FROM connections AS c
WHERE c.org_id = :org_id
    AND (CAST(:crm AS text) IS NULL OR c.crm = :crm)
    AND (CAST(:after_crm AS text) IS NULL OR c.crm > :after_crm)
ORDER BY c.crm
LIMIT :size
