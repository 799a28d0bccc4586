-- The records that contacts with these emails are linked to at a CRM.
SELECT c.email_key, b.crm_contact_id
FROM contacts AS c
INNER JOIN sync_bases AS b ON b.org_id = c.org_id AND b.contact_id = c.id AND b.crm = :crm
WHERE c.org_id = :org_id
    AND c.email_key = ANY(CAST(:email_keys AS text []))
    AND c.delete_time IS NULL
