-- Keep the answer to a request that this transaction began.
UPDATE requests AS r SET response = :response
WHERE r.org_id = :org_id AND r.request_id = :request_id
