-- Leave a tombstone, for the history and for deliveries that still wait: they see the raised version
-- and end as skipped. The email is free again. The contact and its standings are locked before.
WITH deleted AS (
    UPDATE contacts AS c SET delete_time = now(), update_time = now(), version = c.version + 1
    WHERE c.org_id = :org_id AND c.id = :contact_id AND c.delete_time IS NULL
    RETURNING c.org_id, c.id, c.version
)

UPDATE contact_syncs AS cs SET wanted_version = d.version
FROM deleted AS d
WHERE cs.org_id = d.org_id
    AND cs.contact_id = d.id
    AND cs.processing_status IN ('QUEUED', 'PROCESSING')
