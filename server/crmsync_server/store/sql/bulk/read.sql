-- Contacts by their ids, as they are; deleted ones are left out.
SELECT
    c.id, c.email_key, c.version, c.email, c.name, c.first_name, c.last_name, c.phone, c.company,
    c.tags, c.notes, c.avatar, c.domain_id, c.properties
FROM contacts AS c
WHERE c.org_id = :org_id
    AND c.id = ANY(CAST(:contact_ids AS uuid []))
    AND c.delete_time IS NULL
ORDER BY c.id
