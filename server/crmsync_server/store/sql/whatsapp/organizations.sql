-- Every organization with an account.
SELECT a.org_id FROM whatsapp_accounts AS a
ORDER BY a.org_id
