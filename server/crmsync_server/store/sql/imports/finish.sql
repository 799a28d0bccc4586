-- End an import: from now on a repeat gets this answer.
UPDATE imports AS i SET end_time = now()
WHERE i.org_id = :org_id
    AND i.request_id = :request_id
    AND i.received = :acknowledged
    AND i.end_time IS NULL
