-- A lane's deliveries whose server died or hung: their lease is over. Locked until they are finished as
-- LEASE_EXPIRED in the same transaction; one that is being finished right now is left alone, and so
-- is one that is held under a ticket: that will be asked about, however late.
SELECT
    cs.contact_id,
    cs.attempt,
    cs.retry_count,
    cs.rescue_count,
    cs.claimed_hash IS NULL AS removing
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id
    AND cs.crm = :crm
    AND cs.processing_status = 'PROCESSING'
    AND cs.lease_until < now()
    AND NOT EXISTS (
        SELECT
        FROM tickets AS t
        WHERE t.org_id = cs.org_id AND t.crm = cs.crm AND t.ticket = cs.ticket
    )
ORDER BY cs.contact_id
LIMIT :size
FOR UPDATE OF cs SKIP LOCKED
