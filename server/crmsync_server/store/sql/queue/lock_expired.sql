-- The deliveries whose server died or hung: their lease is over. Locked until they are finished as
-- LEASE_EXPIRED in the same transaction; one that is being finished right now is left alone.
SELECT
    cs.org_id,
    cs.crm,
    cs.contact_id,
    cs.attempt,
    cs.retry_count,
    cs.rescue_count
FROM contact_syncs AS cs
WHERE cs.processing_status = 'PROCESSING' AND cs.lease_until < now()
ORDER BY cs.contact_id
LIMIT :size
FOR UPDATE SKIP LOCKED
