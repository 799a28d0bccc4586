-- Lock contacts that are about to change, and read them. FOR UPDATE and not less: a standing that is
-- being made for one refers to it, and so waits for the change.
SELECT c.*
FROM contacts AS c
WHERE c.org_id = :org_id
    AND c.id = ANY(CAST(:contact_ids AS uuid []))
    AND c.delete_time IS NULL
ORDER BY c.id
FOR UPDATE
