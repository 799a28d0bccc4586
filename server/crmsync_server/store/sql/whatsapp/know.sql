-- Remember which contacts are behind numbers of WhatsApp's.
INSERT INTO whatsapp_ids (org_id, wa_id, contact_id)
SELECT :org_id, k.wa_id, k.contact_id
FROM unnest(CAST(:wa_ids AS text []), CAST(:contact_ids AS uuid [])) AS k (wa_id, contact_id)
ON CONFLICT (org_id, wa_id) DO UPDATE SET contact_id = excluded.contact_id, update_time = now()
