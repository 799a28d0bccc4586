-- The first schema. Every key begins with org_id, so that all of it can be distributed by
-- organization unchanged.

CREATE TABLE contacts (
  org_id text NOT NULL,
  id uuid NOT NULL,
  email text,
  email_key text GENERATED ALWAYS AS (lower(btrim(email))) STORED,
  name text NOT NULL DEFAULT '',
  first_name text NOT NULL DEFAULT '',
  last_name text NOT NULL DEFAULT '',
  phone text NOT NULL DEFAULT '',
  company text NOT NULL DEFAULT '',
  tags text[] NOT NULL DEFAULT '{}',
  notes text NOT NULL DEFAULT '',
  avatar text NOT NULL DEFAULT '',
  domain_id uuid,
  properties jsonb NOT NULL DEFAULT '{}',
  unread_count integer NOT NULL DEFAULT 0,
  last_message_time timestamptz,
  version bigint NOT NULL DEFAULT 1,
  content_hash bytea NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  delete_time timestamptz,
  CONSTRAINT contacts_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT contacts_org_id_check CHECK (org_id <> '' AND length(org_id) <= 64),
  CONSTRAINT contacts_email_check CHECK (email <> '')
);

CREATE INDEX contacts_create_time_idx
  ON contacts (org_id, create_time, id)
  WHERE delete_time IS NULL;

CREATE UNIQUE INDEX contacts_email_key ON contacts (org_id, email_key) WHERE delete_time IS NULL;

CREATE INDEX contacts_last_message_time_idx
  ON contacts (org_id, last_message_time, id)
  WHERE delete_time IS NULL;

CREATE TABLE contact_syncs (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  crm text NOT NULL,
  sync_status text NOT NULL,
  processing_status text,
  previous_status text,
  priority smallint NOT NULL DEFAULT 1,
  due_time timestamptz NOT NULL DEFAULT now(),
  attempt integer NOT NULL DEFAULT 0,
  retry_count integer NOT NULL DEFAULT 0,
  rescue_count integer NOT NULL DEFAULT 0,
  next_retry_time timestamptz,
  last_retry_time timestamptz,
  error_code text,
  error_message text,
  error_request_id text,
  skip_reason text,
  crm_contact_id text,
  synced_time timestamptz,
  synced_hash bytea,
  wanted_version bigint NOT NULL DEFAULT 0,
  claimed_version bigint,
  claimed_hash bytea,
  claim_time timestamptz,
  lease_until timestamptz,
  lease_owner text,
  ticket text,
  force boolean NOT NULL DEFAULT false,
  queued_again boolean NOT NULL DEFAULT false,
  cancel_requested boolean NOT NULL DEFAULT false,
  queued_by text NOT NULL DEFAULT '',
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT contact_syncs_pkey PRIMARY KEY (org_id, contact_id, crm),
  CONSTRAINT contact_syncs_status_check CHECK (
    (sync_status = 'SELECTED' AND processing_status IS NULL)
    OR (sync_status = 'QUEUED' AND processing_status = 'QUEUED')
    OR (sync_status = 'PROCESSING' AND processing_status = 'PROCESSING')
    OR (sync_status = 'COMPLETE' AND processing_status = 'COMPLETE')
    OR (sync_status = 'ERROR' AND processing_status = 'ERROR')
    OR (sync_status = 'SKIPPED' AND processing_status = 'COMPLETE')
  ),
  CONSTRAINT contact_syncs_priority_check CHECK (priority IN (1, 2)),
  CONSTRAINT contact_syncs_lease_check CHECK (
    (sync_status = 'PROCESSING') = (lease_until IS NOT NULL)
  ),
  CONSTRAINT contact_syncs_claim_check CHECK (
    (sync_status = 'PROCESSING') = (claimed_version IS NOT NULL)
  ),
  CONSTRAINT contact_syncs_error_check CHECK (
    (sync_status = 'ERROR') <= (error_code IS NOT NULL)
  ),
  CONSTRAINT contact_syncs_ticket_check CHECK (ticket IS NULL OR sync_status = 'PROCESSING')
);

CREATE INDEX contact_syncs_lease_idx
  ON contact_syncs (org_id, crm, lease_until)
  WHERE processing_status = 'PROCESSING';

CREATE INDEX contact_syncs_queue_idx
  ON contact_syncs (org_id, crm, priority, due_time, contact_id)
  WHERE processing_status = 'QUEUED';

CREATE INDEX contact_syncs_ticket_idx
  ON contact_syncs (org_id, crm, ticket)
  WHERE ticket IS NOT NULL;

CREATE TABLE sessions (
  org_id text NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  crm text NOT NULL,
  state text NOT NULL,
  total bigint NOT NULL DEFAULT 0,
  synced bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  errors bigint NOT NULL DEFAULT 0,
  cancelled bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 1,
  creator text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  end_time timestamptz,
  CONSTRAINT sessions_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT sessions_kind_check CHECK (
    kind IN ('QUEUE_CONTACT', 'BULK_QUEUE_CONTACTS', 'QUEUE_ALL_CONTACTS')
  ),
  CONSTRAINT sessions_state_check CHECK (
    state IN ('RUNNING', 'CANCELLING', 'SUCCEEDED', 'CANCELLED')
  ),
  CONSTRAINT sessions_sum_check CHECK (synced + skipped + errors + cancelled <= total),
  CONSTRAINT sessions_ended_check CHECK (
    (state IN ('SUCCEEDED', 'CANCELLED')) = (synced + skipped + errors + cancelled = total)
  ),
  CONSTRAINT sessions_end_time_check CHECK (
    (state IN ('SUCCEEDED', 'CANCELLED')) = (end_time IS NOT NULL)
  )
);

CREATE TABLE session_items (
  org_id text NOT NULL,
  session_id uuid NOT NULL,
  contact_id uuid NOT NULL,
  crm text NOT NULL,
  min_attempt integer NOT NULL,
  outcome text,
  attempt integer,
  error_code text,
  error_message text,
  skip_reason text,
  end_time timestamptz,
  CONSTRAINT session_items_pkey PRIMARY KEY (org_id, session_id, contact_id, crm),
  CONSTRAINT session_items_outcome_check CHECK (
    outcome IS NULL OR outcome IN ('SYNCED', 'SKIPPED', 'ERROR', 'CANCELLED')
  ),
  CONSTRAINT session_items_end_time_check CHECK ((outcome IS NULL) = (end_time IS NULL))
);

CREATE INDEX session_items_pending_idx
  ON session_items (org_id, contact_id, crm)
  WHERE outcome IS NULL;

CREATE TABLE sync_attempts (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  crm text NOT NULL,
  attempt integer NOT NULL,
  start_time timestamptz NOT NULL,
  end_time timestamptz NOT NULL DEFAULT now(),
  outcome text NOT NULL,
  contact_version bigint NOT NULL,
  error_code text,
  error_message text,
  request_id text,
  skip_reason text,
  crm_contact_id text,
  next_retry_time timestamptz,
  lease_owner text,
  CONSTRAINT sync_attempts_pkey PRIMARY KEY (org_id, contact_id, crm, attempt, end_time),
  CONSTRAINT sync_attempts_outcome_check CHECK (
    outcome IN ('SYNCED', 'SKIPPED', 'REJECTED', 'POSTPONED', 'RETRY', 'UNKNOWN', 'RELEASED',
    'LEASE_EXPIRED')
  )
) PARTITION BY RANGE (end_time);

CREATE TABLE sync_counts (
  org_id text NOT NULL,
  crm text NOT NULL,
  slot smallint NOT NULL,
  selected bigint NOT NULL DEFAULT 0,
  open bigint NOT NULL DEFAULT 0,
  complete bigint NOT NULL DEFAULT 0,
  error bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  CONSTRAINT sync_counts_pkey PRIMARY KEY (org_id, crm, slot)
);

CREATE TABLE sync_hours (
  org_id text NOT NULL,
  crm text NOT NULL,
  hour timestamptz NOT NULL,
  slot smallint NOT NULL,
  synced bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  postponed bigint NOT NULL DEFAULT 0,
  retried bigint NOT NULL DEFAULT 0,
  unknown bigint NOT NULL DEFAULT 0,
  released bigint NOT NULL DEFAULT 0,
  expired bigint NOT NULL DEFAULT 0,
  errors bigint NOT NULL DEFAULT 0,
  CONSTRAINT sync_hours_pkey PRIMARY KEY (org_id, crm, hour, slot)
);

CREATE TABLE lanes (
  org_id text NOT NULL,
  crm text NOT NULL,
  paused_until timestamptz,
  pause_code text,
  pause_message text,
  records_per_second double precision,
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT lanes_pkey PRIMARY KEY (org_id, crm)
);

CREATE TABLE tickets (
  org_id text NOT NULL,
  crm text NOT NULL,
  ticket text NOT NULL,
  check_time timestamptz NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT tickets_pkey PRIMARY KEY (org_id, crm, ticket)
);

CREATE TABLE quotas (
  org_id text NOT NULL,
  crm text NOT NULL,
  bucket text NOT NULL,
  arrival_time timestamptz NOT NULL,
  CONSTRAINT quotas_pkey PRIMARY KEY (org_id, crm, bucket)
);

CREATE TABLE requests (
  org_id text NOT NULL,
  request_id uuid NOT NULL,
  method text NOT NULL,
  fingerprint bytea NOT NULL,
  response bytea,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT requests_pkey PRIMARY KEY (org_id, request_id)
);

CREATE INDEX requests_create_time_idx ON requests (create_time);

CREATE TABLE imports (
  org_id text NOT NULL,
  request_id uuid NOT NULL,
  received bigint NOT NULL DEFAULT 0,
  created bigint NOT NULL DEFAULT 0,
  updated bigint NOT NULL DEFAULT 0,
  unchanged bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  rejections jsonb NOT NULL DEFAULT '[]',
  create_time timestamptz NOT NULL DEFAULT now(),
  end_time timestamptz,
  CONSTRAINT imports_pkey PRIMARY KEY (org_id, request_id)
);

CREATE INDEX imports_create_time_idx ON imports (create_time);

-- What no daily partition covers lands here: a day that was not made ahead, an old clock.
CREATE TABLE sync_attempts_default PARTITION OF sync_attempts DEFAULT;

-- The second wall: a transaction sees the organization it named, and none if it named none.
-- FORCE, because the server connects as the owner of the tables.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'contacts', 'contact_syncs', 'sessions', 'session_items', 'sync_attempts', 'sync_counts',
    'sync_hours', 'lanes', 'tickets', 'quotas', 'requests', 'imports',
    'sync_attempts_default'
  ]
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY organization ON %I USING ('
      '  org_id = current_setting(''crmsync.org_id'', true)'
      '  OR current_setting(''crmsync.org_id'', true) = ''*'')',
      name
    );
  END LOOP;
END
$$;

-- A delivery writes each of its rows three times. Room on the page keeps the versions together,
-- and vacuuming by fixed counts keeps dead rows few however long the table is: the default, a
-- fifth of the table, is two million at ten million contacts.
ALTER TABLE contact_syncs SET (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_analyze_scale_factor = 0.05
);

-- Each item is written once when queued and once when it ends.
ALTER TABLE session_items SET (
  fillfactor = 90,
  autovacuum_vacuum_scale_factor = 0.02
);

-- A few rows, rewritten by every finishing transaction and indexed by nothing but their key:
-- half-empty pages let every one of those updates stay on its page and off the index.
ALTER TABLE sync_counts SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE sync_hours SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE sessions SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE quotas SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE lanes SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
