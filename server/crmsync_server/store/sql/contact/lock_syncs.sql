-- Lock the standings of contacts that are about to change, in the order that the engine uses, so
-- that neither waits for the other. All of them: one at rest must not be queued between the change
-- and its commit, or it would be claimed with the content before it.
WITH wanted AS MATERIALIZED (
    SELECT :org_id AS org_id, i.contact_id
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
)

SELECT cs.contact_id
FROM wanted AS w
INNER JOIN contact_syncs AS cs ON cs.org_id = w.org_id AND cs.contact_id = w.contact_id
ORDER BY cs.contact_id, cs.crm
FOR UPDATE OF cs
