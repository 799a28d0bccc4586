-- How many conversations a list has in all.
SELECT count(*)
FROM conversations AS v
WHERE v.org_id = :org_id
    AND (CAST(:status AS text) IS NULL OR v.status = :status)
    AND (CAST(:contact_id AS uuid) IS NULL OR v.contact_id = :contact_id)
    AND (NOT CAST(:unread_only AS boolean) OR v.unread_count > 0)
