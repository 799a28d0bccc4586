-- Tell the engine that contacts have changed: whoever waits or is on its way at any CRM wants the
-- new version. Their standings are locked before. At :but_for they are queued next, which does the same.
UPDATE contact_syncs AS cs SET wanted_version = (
    SELECT c.version FROM contacts AS c WHERE c.org_id = cs.org_id AND c.id = cs.contact_id
)
WHERE cs.org_id = :org_id
    AND cs.contact_id = ANY(CAST(:contact_ids AS uuid []))
    AND cs.crm <> :but_for
    AND cs.processing_status IN ('QUEUED', 'PROCESSING')
