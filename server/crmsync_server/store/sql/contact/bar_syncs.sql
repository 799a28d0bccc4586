-- Let nobody make a standing for contacts that are about to change: a new one refers to its contact
-- and so waits for this lock. After lock_syncs.sql: whoever queues has its standings first as well.
SELECT c.id
FROM contacts AS c
WHERE c.org_id = :org_id AND c.id = ANY(CAST(:contact_ids AS uuid []))
ORDER BY c.id
FOR UPDATE
