-- Of a standing: what each attempt that nobody answered may have brought to the CRM since the last one that was
-- confirmed, by slot; null for one of which that is not known. NULL: no row is written anew.
ALTER TABLE contact_syncs ADD COLUMN unsettled jsonb;
