-- Lock the standings of contacts that are about to change, in the order that the engine uses, so
-- that neither waits for the other. All of them: one at rest must not be queued between the change
-- and its commit, or it would be claimed with the content before it.
SELECT cs.contact_id
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id AND cs.contact_id = ANY(CAST(:contact_ids AS uuid []))
ORDER BY cs.contact_id, cs.crm
FOR UPDATE
