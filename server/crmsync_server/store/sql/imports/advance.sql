-- Note what a message brought, in the transaction that takes it in; only where the import stands
-- as this stream left it, so that of two streams at once one goes on and no record counts twice.
UPDATE imports AS i SET
    received = i.received + :received,
    created = i.created + :created,
    updated = i.updated + :updated,
    unchanged = i.unchanged + :unchanged,
    rejected = i.rejected + :rejected,
    rejections = i.rejections || CAST(:rejections AS jsonb)
WHERE i.org_id = :org_id
    AND i.request_id = :request_id
    AND i.received = :acknowledged
    AND i.end_time IS NULL
