-- The event that a resume token names, or several that differ in their CRM.
SELECT sa.crm, sa.end_time
FROM sync_attempts AS sa
WHERE sa.org_id = :org_id
    AND sa.transaction = :transaction
    AND sa.contact_id = :contact_id
    AND sa.attempt = :attempt
    AND sa.end_time >= CAST(:time AS timestamptz)
    AND sa.end_time < CAST(:time AS timestamptz) + INTERVAL '1 second'
