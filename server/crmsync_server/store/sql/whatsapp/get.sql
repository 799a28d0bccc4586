-- The organization's account.
SELECT a.* FROM whatsapp_accounts AS a
WHERE a.org_id = :org_id
