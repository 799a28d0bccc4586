-- The secrets of a connection, encrypted.
SELECT s.name, s.sealed
FROM connection_secrets AS s
WHERE s.org_id = :org_id AND s.connection_id = :connection_id
ORDER BY s.name
