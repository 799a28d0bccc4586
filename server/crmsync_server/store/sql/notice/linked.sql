-- The records that contacts with these emails are linked to at a CRM.
SELECT w.email_key, b.crm_contact_id
FROM contacts_with_emails(:org_id, CAST(:email_keys AS text [])) AS w
INNER JOIN sync_bases AS b ON b.org_id = :org_id AND b.contact_id = w.contact_id AND b.crm = :crm
