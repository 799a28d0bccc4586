-- Begin an import, or find how far it came. The conflict branch changes nothing: it waits for a
-- message that is being taken in, and returns the row.
INSERT INTO imports AS i (org_id, request_id)
VALUES (:org_id, :request_id)
ON CONFLICT (org_id, request_id) DO UPDATE SET received = i.received
RETURNING i.received, i.created, i.updated, i.unchanged, i.rejected, i.rejections, i.end_time
