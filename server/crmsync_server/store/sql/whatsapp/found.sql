-- Keep what Meta told of the account; what it did not tell stays.
UPDATE whatsapp_accounts AS a SET
    name = coalesce(nullif(:name, ''), a.name),
    waba_id = coalesce(nullif(:waba_id, ''), a.waba_id),
    business_id = coalesce(nullif(:business_id, ''), a.business_id),
    refused = FALSE,
    sync_time = now()
WHERE a.org_id = :org_id
