-- Whose a connection is, and to which CRM, among those of all organizations.
SELECT c.org_id, c.crm
FROM connections AS c
WHERE c.id = :connection_id
