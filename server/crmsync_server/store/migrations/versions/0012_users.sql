-- Users as they are provisioned. What is unique is looked at when a statement ends: two users may
-- exchange their emails in one.
CREATE TABLE users (
  org_id text NOT NULL,
  id uuid NOT NULL,
  external_id text NOT NULL,
  email text NOT NULL,
  email_key text GENERATED ALWAYS AS (lower(btrim(email))) STORED,
  first_name text NOT NULL DEFAULT '',
  last_name text NOT NULL DEFAULT '',
  role text NOT NULL,
  is_active boolean NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}',
  version bigint NOT NULL DEFAULT 1,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT users_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT users_external_id_key UNIQUE (org_id, external_id) DEFERRABLE INITIALLY IMMEDIATE,
  CONSTRAINT users_email_key UNIQUE (org_id, email_key) DEFERRABLE INITIALLY IMMEDIATE,
  CONSTRAINT users_external_id_check CHECK (external_id <> ''),
  CONSTRAINT users_email_check CHECK (email <> '')
);

ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON users USING (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);
