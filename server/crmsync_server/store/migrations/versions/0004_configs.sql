-- What an organization has configured for a CRM. NULL means the adapter's own, or the server's. No
-- row means the defaults; version 0 is a row that was locked and never changed.
CREATE TABLE crm_configs (
  org_id text NOT NULL,
  crm text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  batch_size integer,
  concurrency integer,
  max_retries integer,
  custom_properties jsonb NOT NULL DEFAULT '[]',
  mapping jsonb NOT NULL DEFAULT '[]',
  version bigint NOT NULL DEFAULT 0,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT crm_configs_pkey PRIMARY KEY (org_id, crm),
  CONSTRAINT crm_configs_batch_size_check CHECK (batch_size >= 1),
  CONSTRAINT crm_configs_concurrency_check CHECK (concurrency >= 1),
  CONSTRAINT crm_configs_max_retries_check CHECK (max_retries >= 0)
);

-- Work that is queued at set times. There is no lease: whoever runs a schedule holds its row until the
-- work is queued, and a crash gives it back.
CREATE TABLE schedules (
  org_id text NOT NULL,
  id uuid NOT NULL,
  display_name text NOT NULL DEFAULT '',
  cron text NOT NULL,
  time_zone text NOT NULL,
  crm text NOT NULL,
  action jsonb NOT NULL,
  enabled boolean NOT NULL,
  next_run_time timestamptz,
  last_run_time timestamptz,
  last_session_id uuid,
  last_error text,
  version bigint NOT NULL DEFAULT 1,
  creator text NOT NULL DEFAULT '',
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT schedules_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT schedules_next_check CHECK (enabled = (next_run_time IS NOT NULL)),
  CONSTRAINT schedules_last_check CHECK (
    num_nonnulls(last_session_id, last_error) = CASE WHEN last_run_time IS NULL THEN 0 ELSE 1 END
  )
);

CREATE INDEX schedules_next_run_time_idx ON schedules (next_run_time) WHERE next_run_time IS NOT NULL;

-- Who paused a lane (NULL when the engine did), and since when it is paused.
ALTER TABLE lanes
  ADD COLUMN pauser text,
  ADD COLUMN pause_time timestamptz;

ALTER TABLE sessions
  DROP CONSTRAINT sessions_kind_check,
  ADD CONSTRAINT sessions_kind_check CHECK (
    kind IN ('QUEUE_CONTACT', 'BULK_QUEUE_CONTACTS', 'QUEUE_ALL_CONTACTS', 'RETRY_CONTACT',
      'RETRY_ALL_FAILURES', 'RUN_SCHEDULE')
  );

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['crm_configs', 'schedules']
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
