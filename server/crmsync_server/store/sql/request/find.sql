-- What a request id was used for, and the answer to it.
SELECT r.method, r.fingerprint, r.response
FROM requests AS r
WHERE r.org_id = :org_id AND r.request_id = :request_id
