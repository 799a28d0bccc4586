-- Keep deliveries that the CRM accepted for later under their ticket, and the ticket with the time
-- to ask again, by the database's clock. The lease is long: what is held is looked after through its
-- ticket.
WITH accepted AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.*
    FROM unnest(CAST(:contact_ids AS uuid []), CAST(:attempts AS integer [])) AS i (
        contact_id, attempt
    )
),

-- In the order that every other statement locks them in.
owned AS MATERIALIZED (
    SELECT cs.org_id, cs.contact_id, cs.crm
    FROM accepted AS i
    INNER JOIN contact_syncs AS cs
        ON cs.org_id = i.org_id AND cs.contact_id = i.contact_id AND cs.crm = i.crm
    WHERE cs.lease_until IS NOT NULL AND cs.attempt = i.attempt
    ORDER BY cs.contact_id
    FOR UPDATE OF cs
),

held AS (
    UPDATE contact_syncs AS cs SET
        ticket = :ticket,
        lease_until = now() + CAST(:lease AS interval),
        update_time = now()
    FROM owned AS o
    WHERE cs.org_id = o.org_id AND cs.contact_id = o.contact_id AND cs.crm = o.crm
    RETURNING cs.contact_id
)

INSERT INTO tickets AS t (org_id, crm, ticket, check_time)
SELECT
    :org_id, :crm, :ticket,
    now() + (CAST(:check_time AS timestamptz) - CAST(:clock AS timestamptz))
FROM held
HAVING count(*) > 0
ON CONFLICT (org_id, crm, ticket) DO UPDATE SET check_time = excluded.check_time
RETURNING t.ticket
