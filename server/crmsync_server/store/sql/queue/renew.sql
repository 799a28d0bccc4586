-- Prolong the leases of deliveries that are still under way, locked in the order that every other
-- statement locks them in. Why org_id is joined: see finish.sql.
WITH under_way AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.*
    FROM unnest(CAST(:contact_ids AS uuid []), CAST(:attempts AS integer [])) AS i (
        contact_id, attempt
    )
),

owned AS MATERIALIZED (
    SELECT cs.org_id, cs.contact_id, cs.crm
    FROM under_way AS i
    INNER JOIN contact_syncs AS cs
        ON cs.org_id = i.org_id AND cs.contact_id = i.contact_id AND cs.crm = i.crm
    WHERE cs.lease_until IS NOT NULL AND cs.attempt = i.attempt
    ORDER BY cs.contact_id
    FOR UPDATE OF cs
)

UPDATE contact_syncs AS cs SET lease_until = now() + CAST(:lease AS interval)
FROM owned AS o
WHERE cs.org_id = o.org_id AND cs.contact_id = o.contact_id AND cs.crm = o.crm
