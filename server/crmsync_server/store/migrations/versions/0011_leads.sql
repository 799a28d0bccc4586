-- A signup, and what its CRM told of it. changes counts its history; conversion_time is set once and
-- stays. While somebody registers it, nobody else does before registration_until.
CREATE TABLE leads (
  org_id text NOT NULL,
  id text NOT NULL,
  crm text NOT NULL,
  email text NOT NULL,
  email_key text GENERATED ALWAYS AS (lower(btrim(email))) STORED,
  first_name text NOT NULL DEFAULT '',
  last_name text NOT NULL DEFAULT '',
  phone text NOT NULL DEFAULT '',
  country text NOT NULL DEFAULT '',
  language text NOT NULL DEFAULT '',
  ip_address text NOT NULL DEFAULT '',
  campaign_id text NOT NULL DEFAULT '',
  tag text NOT NULL DEFAULT '',
  registration text NOT NULL DEFAULT 'PENDING',
  registration_attempt integer NOT NULL DEFAULT 0,
  registration_until timestamptz,
  registration_error_code text,
  registration_error_message text,
  crm_lead_id text,
  status_code integer NOT NULL DEFAULT 0,
  status_text text NOT NULL DEFAULT '',
  ftd_exists boolean NOT NULL DEFAULT false,
  tp_account text NOT NULL DEFAULT '',
  currency text NOT NULL DEFAULT '',
  crm_create_time timestamptz,
  crm_modify_time timestamptz,
  changes bigint NOT NULL DEFAULT 0,
  conversion_time timestamptz,
  change_time timestamptz,
  sync_time timestamptz,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT leads_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT leads_id_check CHECK (id <> '' AND length(id) <= 64),
  CONSTRAINT leads_email_check CHECK (email <> ''),
  CONSTRAINT leads_registration_check CHECK (
    registration IN ('PENDING', 'REGISTERING', 'REGISTERED', 'REFUSED', 'UNKNOWN')
  ),
  CONSTRAINT leads_registration_until_check CHECK (
    (registration = 'REGISTERING') = (registration_until IS NOT NULL)
  ),
  CONSTRAINT leads_crm_lead_id_check CHECK (
    (registration = 'REGISTERED') <= (crm_lead_id IS NOT NULL)
  )
);

CREATE INDEX leads_create_time_idx ON leads (org_id, create_time, id);

CREATE INDEX leads_status_code_idx ON leads (org_id, status_code, create_time, id);

CREATE INDEX leads_email_idx ON leads (org_id, email_key);

-- Every change of a lead, only ever added to. At most one of them is its conversion.
CREATE TABLE lead_history (
  org_id text NOT NULL,
  lead_id text NOT NULL,
  sequence bigint NOT NULL,
  previous_status_code integer NOT NULL,
  status_code integer NOT NULL,
  status_text text NOT NULL,
  ftd_exists boolean NOT NULL,
  tp_account text NOT NULL,
  conversion boolean NOT NULL,
  session_id uuid,
  crm_modify_time timestamptz,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT lead_history_pkey PRIMARY KEY (org_id, lead_id, sequence)
);

CREATE UNIQUE INDEX lead_history_conversion_key
  ON lead_history (org_id, lead_id)
  WHERE conversion;

-- How many leads stand at each status, and all in all; kept up by whatever changes a lead.
-- schedule_time: since when the hourly schedule was made, so that it is made but once.
CREATE TABLE lead_counts (
  org_id text NOT NULL,
  crm text NOT NULL,
  status_code integer NOT NULL,
  leads bigint NOT NULL DEFAULT 0,
  CONSTRAINT lead_counts_pkey PRIMARY KEY (org_id, crm, status_code)
);

CREATE TABLE lead_totals (
  org_id text NOT NULL,
  crm text NOT NULL,
  leads bigint NOT NULL DEFAULT 0,
  synced bigint NOT NULL DEFAULT 0,
  conversions bigint NOT NULL DEFAULT 0,
  last_sync_time timestamptz,
  schedule_time timestamptz,
  CONSTRAINT lead_totals_pkey PRIMARY KEY (org_id, crm)
);

-- A session may ask about leads as well; of those it found, how many have converted.
ALTER TABLE sessions
  ADD COLUMN conversions bigint NOT NULL DEFAULT 0,
  ADD COLUMN new_conversions bigint NOT NULL DEFAULT 0,
  DROP CONSTRAINT sessions_kind_check,
  ADD CONSTRAINT sessions_kind_check CHECK (
    kind IN ('QUEUE_CONTACT', 'BULK_QUEUE_CONTACTS', 'QUEUE_ALL_CONTACTS', 'RETRY_CONTACT',
      'RETRY_ALL_FAILURES', 'RUN_SCHEDULE', 'FULL_SYNC', 'INCREMENTAL_SYNC', 'MANUAL_SYNC',
      'RESOLVE_CONFLICT', 'LEAD_STATUS_SYNC')
  );

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['leads', 'lead_history', 'lead_counts', 'lead_totals']
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

-- A few rows that are rewritten all the time.
ALTER TABLE lead_counts SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);

ALTER TABLE lead_totals SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0);
