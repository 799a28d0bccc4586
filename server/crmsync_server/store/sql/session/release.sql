-- Let what was held for a paused session be claimed again, when it was due. The standings are locked
-- before.
UPDATE contact_syncs AS cs SET due_time = coalesce(cs.next_retry_time, now())
FROM session_items AS si
WHERE si.org_id = :org_id
    AND si.session_id = :session_id
    AND si.outcome IS NULL
    AND cs.org_id = si.org_id
    AND cs.contact_id = si.contact_id
    AND cs.crm = si.crm
    AND cs.sync_status = 'QUEUED'
    AND cs.due_time > timestamptz '9999-01-01 00:00:00+00'
