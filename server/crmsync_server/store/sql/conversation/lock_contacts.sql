-- Lock the contacts whose figures are about to change, in order.
SELECT c.id
FROM contacts AS c
WHERE c.org_id = :org_id AND c.id = ANY(CAST(:contact_ids AS uuid []))
ORDER BY c.id
FOR NO KEY UPDATE
