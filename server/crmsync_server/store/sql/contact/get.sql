-- One contact.
SELECT c.*
FROM contacts AS c
WHERE c.org_id = :org_id AND c.id = :contact_id AND c.delete_time IS NULL
