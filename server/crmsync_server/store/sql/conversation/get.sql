-- One conversation, with its contact's name and phone number.
SELECT
    v.*,
    c.phone,
    coalesce(
        nullif(c.name, ''), nullif(btrim(concat_ws(' ', c.first_name, c.last_name)), ''), c.phone
    ) AS contact_name
FROM conversations AS v
INNER JOIN contacts AS c ON c.org_id = v.org_id AND c.id = v.contact_id
WHERE v.org_id = :org_id AND v.id = :conversation_id
