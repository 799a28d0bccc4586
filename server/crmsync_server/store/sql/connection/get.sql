-- One connection, with the names of its secrets.
SELECT
    c.*,
    ARRAY(
        SELECT s.name
        FROM connection_secrets AS s
        WHERE s.org_id = c.org_id AND s.connection_id = c.id
        ORDER BY s.name
    ) AS names
FROM connections AS c
WHERE c.org_id = :org_id AND c.id = :connection_id
