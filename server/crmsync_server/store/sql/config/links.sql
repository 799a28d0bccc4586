-- Link what was delivered before its CRM was read: the standing knows the record, and nothing else does.
-- Of several contacts that claim the same record the one that was delivered last has it.
INSERT INTO sync_bases (org_id, contact_id, crm, crm_contact_id)
SELECT DISTINCT ON (cs.crm_contact_id) cs.org_id, cs.contact_id, cs.crm, cs.crm_contact_id
FROM contact_syncs AS cs
INNER JOIN contacts AS c ON c.org_id = cs.org_id AND c.id = cs.contact_id
WHERE cs.org_id = :org_id
    AND cs.crm = :crm
    AND cs.crm_contact_id IS NOT NULL
    AND c.delete_time IS NULL
    AND NOT EXISTS (
        SELECT FROM sync_bases AS b
        WHERE b.org_id = :org_id AND b.contact_id = cs.contact_id AND b.crm = :crm
    )
ORDER BY cs.crm_contact_id, cs.synced_time DESC NULLS LAST, cs.contact_id
ON CONFLICT DO NOTHING
