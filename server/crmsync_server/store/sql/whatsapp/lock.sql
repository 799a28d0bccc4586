-- The organization's account, locked: whoever changes its conversations goes first through here, so
-- that one after the other counts and sums.
SELECT a.* FROM whatsapp_accounts AS a
WHERE a.org_id = :org_id
FOR NO KEY UPDATE
