-- Of the given contacts, those that exist; what is missing is unknown or deleted.
SELECT c.id, c.email IS NOT NULL AS has_email
FROM contacts AS c
WHERE c.org_id = :org_id
    AND c.id = ANY(CAST(:contact_ids AS uuid []))
    AND c.delete_time IS NULL
