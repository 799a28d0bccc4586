-- The number of WhatsApp's that a contact was last found behind; an id that stands for a hidden one is
-- none.
SELECT i.wa_id
FROM whatsapp_ids AS i
WHERE i.org_id = :org_id AND i.contact_id = :contact_id AND i.wa_id ~ '^[0-9]+$'
ORDER BY i.update_time DESC, i.wa_id
LIMIT 1
