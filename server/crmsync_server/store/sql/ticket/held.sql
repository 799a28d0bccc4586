-- The deliveries held under a ticket, as far as settling them needs.
WITH held AS MATERIALIZED (
    SELECT
        cs.org_id,
        cs.contact_id,
        cs.attempt,
        cs.retry_count,
        cs.rescue_count,
        cs.crm_contact_id
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id AND cs.crm = :crm AND cs.ticket = :ticket
)

SELECT
    cs.contact_id,
    cs.attempt,
    cs.crm_contact_id,
    c.email,
    c.first_name,
    c.last_name,
    c.phone,
    c.company,
    c.tags,
    CAST(nullif(c.properties, '{}') AS text) AS properties,
    cs.retry_count,
    cs.rescue_count,
    FALSE AS unchanged,
    FALSE AS deleted,
    FALSE AS unsure,
    FALSE AS urgent,
    FALSE AS removing
FROM held AS cs
INNER JOIN contacts AS c ON c.org_id = cs.org_id AND c.id = cs.contact_id
