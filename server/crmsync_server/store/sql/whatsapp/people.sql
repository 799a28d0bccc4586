-- Which contacts are behind numbers of WhatsApp's: those that were found before, or else the oldest one
-- with that phone number. Deleted ones are nobody.
SELECT
    w.wa_id,
    k.contact_id IS NOT NULL AS known,
    c.id AS contact_id,
    c.name = '' AND c.first_name = '' AND c.last_name = '' AS nameless
FROM unnest(CAST(:wa_ids AS text [])) AS w (wa_id)
LEFT JOIN LATERAL (
    SELECT i.contact_id
    FROM whatsapp_ids AS i
    INNER JOIN contacts AS o ON o.org_id = i.org_id AND o.id = i.contact_id
    WHERE i.org_id = :org_id AND i.wa_id = w.wa_id AND o.delete_time IS NULL
) AS k ON TRUE
INNER JOIN LATERAL (
    SELECT o.*
    FROM contacts AS o
    WHERE k.contact_id IS NOT NULL AND o.org_id = :org_id AND o.id = k.contact_id
    UNION ALL
    (
        SELECT o.*
        FROM contacts AS o
        WHERE k.contact_id IS NULL
            AND o.org_id = :org_id
            AND regexp_replace(o.phone, '^00|\D', '', 'g') = w.wa_id
            AND o.phone <> ''
            AND o.delete_time IS NULL
        ORDER BY o.id
        LIMIT 1
    )
) AS c ON TRUE
