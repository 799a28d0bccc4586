-- Keep whose account it is, where that was not known: a webhook told it.
UPDATE whatsapp_accounts AS a SET business_id = :business_id
WHERE a.org_id = :org_id AND a.business_id = ''
