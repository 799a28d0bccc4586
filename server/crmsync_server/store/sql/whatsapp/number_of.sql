-- The number of WhatsApp's that a contact was last found behind.
SELECT i.wa_id
FROM whatsapp_ids AS i
WHERE i.org_id = :org_id AND i.contact_id = :contact_id
ORDER BY i.update_time DESC, i.wa_id
LIMIT 1
