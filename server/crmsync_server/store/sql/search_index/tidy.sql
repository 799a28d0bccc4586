-- Put into the index of terms what was only appended to it: until then every search reads that through.
-- Only the index's owner may; for others autovacuum does it.
SELECT gin_clean_pending_list(i.oid)
FROM pg_class AS i
WHERE i.oid = to_regclass('contact_terms_terms_idx') AND pg_has_role(i.relowner, 'USAGE')
