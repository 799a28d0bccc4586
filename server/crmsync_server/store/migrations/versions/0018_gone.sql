-- Of a standing whose record was removed, at the CRM or by ourselves: what the contact said then (content_hash).
-- As long as it says that still, no session of changes makes the record anew. NULL: no row is written anew.
ALTER TABLE contact_syncs ADD COLUMN gone_hash bytea;
