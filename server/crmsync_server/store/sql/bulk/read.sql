-- Contacts by their ids, as they are; deleted ones are left out.
SELECT c.*
FROM contacts AS c
WHERE c.org_id = :org_id
    AND c.id = ANY(CAST(:contact_ids AS uuid []))
    AND c.delete_time IS NULL
ORDER BY c.id
