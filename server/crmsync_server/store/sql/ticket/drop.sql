-- Forget a ticket once nothing is held under it.
DELETE FROM tickets AS t
WHERE t.org_id = :org_id
    AND t.crm = :crm
    AND t.ticket = :ticket
    AND NOT EXISTS (
        SELECT FROM contact_syncs AS cs
        WHERE cs.org_id = :org_id AND cs.crm = :crm AND cs.ticket = :ticket
    )
