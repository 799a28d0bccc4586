-- The next contacts that are linked to records of a CRM, by what was delivered or read, or that were.
SELECT cs.contact_id
FROM contact_syncs AS cs
WHERE cs.org_id = :org_id
    AND cs.crm = :crm
    AND cs.contact_id > :after
    AND (
        cs.crm_contact_id IS NOT NULL
        OR cs.gone_hash IS NOT NULL
        OR EXISTS (
            SELECT FROM sync_bases AS b
            WHERE b.org_id = :org_id AND b.contact_id = cs.contact_id AND b.crm = :crm
        )
    )
ORDER BY cs.contact_id
LIMIT :size
