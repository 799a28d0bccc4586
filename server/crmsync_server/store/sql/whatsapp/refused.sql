-- Note that Meta refused the access token.
UPDATE whatsapp_accounts AS a SET refused = TRUE
WHERE a.org_id = :org_id AND NOT a.refused
