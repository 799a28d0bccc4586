-- Lock standings, in the order that every other statement locks them in, so that the statement that
-- follows in this transaction sees what was committed before. Why org_id is joined: see finish.sql.
WITH wanted AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.contact_id
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
)

SELECT cs.contact_id
FROM wanted AS w
INNER JOIN contact_syncs AS cs
    ON cs.org_id = w.org_id AND cs.contact_id = w.contact_id AND cs.crm = w.crm
ORDER BY cs.contact_id
FOR UPDATE OF cs
