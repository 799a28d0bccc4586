-- Keep up what contacts show of their conversations. No content of theirs changes, nor their version.
UPDATE contacts AS c SET
    unread_count = (
        SELECT coalesce(sum(v.unread_count), 0)
        FROM conversations AS v
        WHERE v.org_id = :org_id AND v.contact_id = c.id AND v.unread_count > 0
    ),
    last_message_time = (
        SELECT o.last_message_time
        FROM correspondents AS o
        WHERE o.org_id = :org_id AND o.contact_id = c.id
    )
WHERE c.org_id = :org_id AND c.id = ANY(CAST(:contact_ids AS uuid []))
