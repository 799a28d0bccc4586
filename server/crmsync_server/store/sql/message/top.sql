-- The contacts with the most messages.
SELECT
    o.contact_id,
    o.message_count,
    c.phone,
    coalesce(
        nullif(c.name, ''), nullif(btrim(concat_ws(' ', c.first_name, c.last_name)), ''), c.phone
    ) AS contact_name
FROM correspondents AS o
INNER JOIN contacts AS c ON c.org_id = o.org_id AND c.id = o.contact_id
WHERE o.org_id = :org_id
ORDER BY o.message_count DESC, o.contact_id DESC
LIMIT :size
