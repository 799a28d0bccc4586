-- Forget which deleted contacts some records were linked to.
DELETE FROM sync_bases AS b
WHERE b.org_id = :org_id
    AND b.crm = :crm
    AND b.crm_contact_id = ANY(CAST(:crm_contact_ids AS text []))
    AND EXISTS (
        SELECT FROM contacts AS c
        WHERE c.org_id = b.org_id AND c.id = b.contact_id AND c.delete_time IS NOT NULL
    )
