-- Whether a contact was found behind an id that stands for a hidden number.
SELECT EXISTS (
    SELECT
    FROM whatsapp_ids AS i
    WHERE i.org_id = :org_id AND i.contact_id = :contact_id AND i.wa_id !~ '^[0-9]+$'
) AS hides
