-- Prolong the leases of deliveries that are still under way. Why org_id is joined: see finish.sql.
WITH under_way AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.*
    FROM unnest(CAST(:contact_ids AS uuid []), CAST(:attempts AS integer [])) AS i (
        contact_id, attempt
    )
    ORDER BY i.contact_id
)

UPDATE contact_syncs AS cs SET lease_until = now() + CAST(:lease AS interval)
FROM under_way AS i
WHERE cs.org_id = i.org_id
    AND cs.contact_id = i.contact_id
    AND cs.crm = i.crm
    AND cs.processing_status = 'PROCESSING'
    AND cs.attempt = i.attempt
