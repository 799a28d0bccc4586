-- Take a request id, or find who took it. A transaction that holds the same id is waited for. The
-- conflict branch changes nothing: it locks the row, so that no purge takes it away, and returns
-- it. The response is NULL only for the one who took the id just now.
INSERT INTO requests AS r (org_id, request_id, method, fingerprint)
VALUES (:org_id, :request_id, :method, :fingerprint)
ON CONFLICT (org_id, request_id) DO UPDATE SET method = r.method
RETURNING r.method, r.fingerprint, r.response
