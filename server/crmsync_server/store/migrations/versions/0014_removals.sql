-- Removals: of a standing, what was asked last; of an item, what its session asked; of an attempt, that it
-- was one, NULL where it delivered. Constants as defaults: no row is written anew.
ALTER TABLE contact_syncs ADD COLUMN removing boolean NOT NULL DEFAULT FALSE;

ALTER TABLE session_items ADD COLUMN removing boolean NOT NULL DEFAULT FALSE;

ALTER TABLE sync_attempts ADD COLUMN removal boolean;

ALTER TABLE sessions
  DROP CONSTRAINT sessions_kind_check,
  ADD CONSTRAINT sessions_kind_check CHECK (
    kind IN ('QUEUE_CONTACT', 'BULK_QUEUE_CONTACTS', 'QUEUE_ALL_CONTACTS', 'RETRY_CONTACT',
      'RETRY_ALL_FAILURES', 'RUN_SCHEDULE', 'FULL_SYNC', 'INCREMENTAL_SYNC', 'MANUAL_SYNC',
      'RESOLVE_CONFLICT', 'LEAD_STATUS_SYNC', 'APPLY_BATCH', 'MASS_UPDATE')
  );
