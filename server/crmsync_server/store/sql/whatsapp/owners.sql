-- Which organizations have one of these phone numbers, or one of these accounts.
SELECT n.org_id, n.id AS phone_number_id, '' AS waba_id
FROM whatsapp_numbers AS n
WHERE n.id = ANY(CAST(:phone_number_ids AS text []))

UNION ALL

SELECT a.org_id, '', a.waba_id
FROM whatsapp_accounts AS a
WHERE a.waba_id = ANY(CAST(:waba_ids AS text [])) AND a.waba_id <> ''
