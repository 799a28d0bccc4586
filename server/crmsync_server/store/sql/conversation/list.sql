-- A page of conversations, the one with the newest message first.
SELECT
    v.*,
    c.phone,
    coalesce(
        nullif(c.name, ''), nullif(btrim(concat_ws(' ', c.first_name, c.last_name)), ''), c.phone
    ) AS contact_name
FROM conversations AS v
INNER JOIN contacts AS c ON c.org_id = v.org_id AND c.id = v.contact_id
WHERE v.org_id = :org_id
    AND (CAST(:status AS text) IS NULL OR v.status = :status)
    AND (CAST(:contact_id AS uuid) IS NULL OR v.contact_id = :contact_id)
    AND (NOT CAST(:unread_only AS boolean) OR v.unread_count > 0)
    AND (
        CAST(:before_time AS timestamptz) IS NULL
        OR (v.last_message_time, v.id) < (:before_time, CAST(:before_id AS uuid))
    )
ORDER BY v.last_message_time DESC, v.id DESC
LIMIT :size
