-- Sessions that read from a CRM: `pulling` while records may still come, so that the end of the last
-- delivery is not yet the end. What was read is counted by what became of it here.
ALTER TABLE sessions
  ADD COLUMN direction text NOT NULL DEFAULT 'PUSH',
  ADD COLUMN dry_run boolean NOT NULL DEFAULT false,
  ADD COLUMN exclusive boolean NOT NULL DEFAULT false,
  ADD COLUMN pulling boolean NOT NULL DEFAULT false,
  ADD COLUMN expected bigint,
  ADD COLUMN pages bigint NOT NULL DEFAULT 0,
  ADD COLUMN since timestamptz,
  ADD COLUMN pulled_created bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_updated bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_unchanged bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_conflicts bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_deleted bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_skipped bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled_errors bigint NOT NULL DEFAULT 0,
  ADD COLUMN error_code text,
  ADD COLUMN error_message text,
  ADD COLUMN plan jsonb,
  DROP CONSTRAINT sessions_kind_check,
  ADD CONSTRAINT sessions_kind_check CHECK (
    kind IN ('QUEUE_CONTACT', 'BULK_QUEUE_CONTACTS', 'QUEUE_ALL_CONTACTS', 'RETRY_CONTACT',
      'RETRY_ALL_FAILURES', 'RUN_SCHEDULE', 'FULL_SYNC', 'INCREMENTAL_SYNC', 'MANUAL_SYNC',
      'RESOLVE_CONFLICT')
  ),
  DROP CONSTRAINT sessions_state_check,
  ADD CONSTRAINT sessions_state_check CHECK (
    state IN ('RUNNING', 'PAUSED', 'CANCELLING', 'SUCCEEDED', 'CANCELLED', 'FAILED')
  ),
  ADD CONSTRAINT sessions_direction_check CHECK (direction IN ('PUSH', 'PULL', 'BOTH')),
  DROP CONSTRAINT sessions_ended_check,
  ADD CONSTRAINT sessions_ended_check CHECK (
    (state IN ('SUCCEEDED', 'CANCELLED', 'FAILED'))
    = (synced + skipped + errors + cancelled = total AND NOT pulling)
  ),
  DROP CONSTRAINT sessions_end_time_check,
  ADD CONSTRAINT sessions_end_time_check CHECK (
    (state IN ('SUCCEEDED', 'CANCELLED', 'FAILED')) = (end_time IS NOT NULL)
  ),
  ADD CONSTRAINT sessions_error_check CHECK ((state = 'FAILED') <= (error_code IS NOT NULL));

-- One session of a kind at a CRM, unless somebody asked for another all the same.
CREATE UNIQUE INDEX sessions_exclusive_key
  ON sessions (org_id, crm, kind)
  WHERE exclusive AND end_time IS NULL;

-- What a server does page by page for a session. The row is there while there is something to do:
-- whoever holds the lease goes on at the cursor, and writes only while the fence is its own.
CREATE TABLE session_runs (
  org_id text NOT NULL,
  session_id uuid NOT NULL,
  crm text NOT NULL,
  phase text NOT NULL,
  cursor jsonb NOT NULL DEFAULT '{}',
  task jsonb NOT NULL DEFAULT '{}',
  until_time timestamptz,
  due_time timestamptz NOT NULL DEFAULT now(),
  retry_count integer NOT NULL DEFAULT 0,
  wait_code text,
  wait_message text,
  fence bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  lease_owner text,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT session_runs_pkey PRIMARY KEY (org_id, session_id),
  CONSTRAINT session_runs_phase_check CHECK (
    phase IN ('PREPARE', 'READ', 'FETCH', 'SWEEP', 'QUEUE', 'VERIFY', 'APPLY')
  ),
  CONSTRAINT session_runs_lease_check CHECK ((lease_until IS NULL) = (lease_owner IS NULL))
);

-- What was read for a session, once for each record however often it was read; in a dry run, what
-- would be done. Without an action it is not decided yet: what is gone waits for the end.
CREATE TABLE session_records (
  org_id text NOT NULL,
  session_id uuid NOT NULL,
  direction text NOT NULL,
  key text NOT NULL,
  action text,
  contact_id uuid,
  contact_version bigint,
  fingerprint bytea,
  fields jsonb,
  error_code text,
  error_message text,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT session_records_pkey PRIMARY KEY (org_id, session_id, direction, key),
  CONSTRAINT session_records_direction_check CHECK (direction IN ('PULL', 'PUSH')),
  CONSTRAINT session_records_action_check CHECK (
    action IN ('CREATED', 'UPDATED', 'UNCHANGED', 'CONFLICT', 'DELETED', 'SKIPPED', 'ERROR')
  )
);

-- Up to when a CRM was read, by its clock; it moves when everything before that is stored.
CREATE TABLE watermarks (
  org_id text NOT NULL,
  crm text NOT NULL,
  time timestamptz NOT NULL,
  session_id uuid NOT NULL,
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT watermarks_pkey PRIMARY KEY (org_id, crm)
);

-- What a contact and its record at a CRM last agreed on, field by field, as the CRM has it; NULL where
-- that is not known. It holds while synced_time is still the standing's: a delivery that was not
-- written down here has agreed on something else since. echoes are digests of what was delivered
-- lately: read back late, they are no change. conflicted names the fields of the open conflict.
CREATE TABLE sync_bases (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  crm text NOT NULL,
  crm_contact_id text NOT NULL,
  fields jsonb,
  synced_time timestamptz,
  crm_modified_time timestamptz,
  echoes bytea[] NOT NULL DEFAULT '{}',
  conflicted text[] NOT NULL DEFAULT '{}',
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT sync_bases_pkey PRIMARY KEY (org_id, contact_id, crm),
  CONSTRAINT sync_bases_crm_contact_key UNIQUE (org_id, crm_contact_id, crm)
);

CREATE TABLE conflicts (
  org_id text NOT NULL,
  id uuid NOT NULL,
  contact_id uuid NOT NULL,
  crm text NOT NULL,
  crm_contact_id text NOT NULL,
  state text NOT NULL,
  fields jsonb NOT NULL,
  session_id uuid,
  ours_time timestamptz NOT NULL,
  theirs_time timestamptz,
  resolution jsonb,
  resolver text,
  resolve_session_id uuid,
  transaction bigint NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  resolve_time timestamptz,
  CONSTRAINT conflicts_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT conflicts_state_check CHECK (state IN ('OPEN', 'RESOLVED', 'SETTLED')),
  CONSTRAINT conflicts_resolve_time_check CHECK ((state = 'OPEN') = (resolve_time IS NULL))
);

CREATE UNIQUE INDEX conflicts_open_key
  ON conflicts (org_id, contact_id, crm)
  WHERE state = 'OPEN';

CREATE INDEX conflicts_transaction_idx ON conflicts (org_id, transaction);

CREATE INDEX conflicts_open_idx ON conflicts (org_id, id) WHERE state = 'OPEN';

CREATE INDEX conflicts_contact_idx ON conflicts (org_id, contact_id, id);

-- What CRMs told by webhooks: kept before it is acknowledged, and for a while after it was seen to,
-- since they send it again.
CREATE TABLE notices (
  org_id text NOT NULL,
  crm text NOT NULL,
  key text NOT NULL,
  kind text NOT NULL,
  crm_contact_id text NOT NULL DEFAULT '',
  email text NOT NULL DEFAULT '',
  receive_time timestamptz NOT NULL DEFAULT now(),
  due_time timestamptz NOT NULL DEFAULT now(),
  retry_count integer NOT NULL DEFAULT 0,
  done_time timestamptz,
  outcome text,
  CONSTRAINT notices_pkey PRIMARY KEY (org_id, crm, key),
  CONSTRAINT notices_kind_check CHECK (kind IN ('CHANGED', 'DELETED')),
  CONSTRAINT notices_key_check CHECK (key <> '' AND length(key) <= 200),
  CONSTRAINT notices_subject_check CHECK (crm_contact_id <> '' OR email <> '')
);

CREATE INDEX notices_due_idx ON notices (org_id, crm, due_time) WHERE done_time IS NULL;

CREATE INDEX notices_done_time_idx ON notices (done_time) WHERE done_time IS NOT NULL;

-- How what both sides changed is settled, and since when this CRM has been read from.
ALTER TABLE crm_configs
  ADD COLUMN merging jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN two_way_time timestamptz;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'session_runs', 'session_records', 'watermarks', 'sync_bases', 'conflicts', 'notices'
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

-- A run's row is rewritten with every page.
ALTER TABLE session_runs SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
