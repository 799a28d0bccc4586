-- The lanes in which a lease is over; few, for a lane has few deliveries under way.
SELECT DISTINCT cs.org_id, cs.crm
FROM contact_syncs AS cs
WHERE cs.processing_status = 'PROCESSING' AND cs.lease_until < now()
