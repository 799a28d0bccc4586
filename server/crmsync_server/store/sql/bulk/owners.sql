-- Which contacts have these emails.
SELECT w.email_key, w.contact_id AS id
FROM contacts_with_emails(:org_id, CAST(:email_keys AS text [])) AS w
