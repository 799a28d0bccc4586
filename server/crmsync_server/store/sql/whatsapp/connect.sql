-- Make the organization's account, or change what a caller decides of it; what is empty stays.
INSERT INTO whatsapp_accounts AS a (org_id, id, waba_id, business_id)
VALUES (:org_id, :account_id, :waba_id, :business_id)
ON CONFLICT (org_id) DO UPDATE SET
    waba_id = coalesce(nullif(excluded.waba_id, ''), a.waba_id),
    business_id = coalesce(nullif(excluded.business_id, ''), a.business_id)
RETURNING a.*
