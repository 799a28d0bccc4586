-- An organization's account at a CRM. Secrets and tokens are encrypted; key_id names the key.
-- credentials_version is the version at which the secrets or the address were last replaced: tokens
-- that were had with older ones are nobody's any more.
CREATE TABLE connections (
  org_id text NOT NULL,
  id uuid NOT NULL,
  crm text NOT NULL,
  display_name text NOT NULL DEFAULT '',
  base_url text NOT NULL DEFAULT '',
  options jsonb NOT NULL DEFAULT '{}',
  key_id text NOT NULL,
  health text NOT NULL DEFAULT 'UNCHECKED',
  health_reason text NOT NULL DEFAULT '',
  check_time timestamptz,
  account_id text NOT NULL DEFAULT '',
  version bigint NOT NULL DEFAULT 1,
  credentials_version bigint NOT NULL DEFAULT 1,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT connections_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT connections_crm_key UNIQUE (org_id, crm),
  CONSTRAINT connections_health_check CHECK (
    health IN ('UNCHECKED', 'HEALTHY', 'UNHEALTHY', 'UNREACHABLE')
  ),
  CONSTRAINT connections_check_time_check CHECK ((health = 'UNCHECKED') = (check_time IS NULL)),
  CONSTRAINT connections_version_check CHECK (credentials_version <= version)
);

CREATE INDEX connections_key_id_idx ON connections (key_id);

CREATE TABLE connection_secrets (
  org_id text NOT NULL,
  connection_id uuid NOT NULL,
  name text NOT NULL,
  sealed bytea NOT NULL,
  CONSTRAINT connection_secrets_pkey PRIMARY KEY (org_id, connection_id, name),
  CONSTRAINT connection_secrets_connection_fkey FOREIGN KEY (org_id, connection_id)
    REFERENCES connections (org_id, id) ON DELETE CASCADE
);

-- Tokens were had with the credentials of one version, and are nobody's once those are replaced. Who
-- renews them holds the lease, and the row is locked for no longer than it takes to write that down.
-- No foreign key: a connection is deleted while its token is being renewed; the rest is tidied up.
CREATE TABLE connection_tokens (
  org_id text NOT NULL,
  connection_id uuid NOT NULL,
  credentials_version bigint NOT NULL,
  key_id text,
  access_token bytea,
  refresh_token bytea,
  expire_time timestamptz,
  renewals bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  lease_owner uuid,
  CONSTRAINT connection_tokens_pkey PRIMARY KEY (org_id, connection_id, credentials_version),
  CONSTRAINT connection_tokens_whole_check CHECK (
    num_nulls(key_id, access_token, refresh_token, expire_time) IN (0, 4)
  ),
  CONSTRAINT connection_tokens_lease_check CHECK ((lease_until IS NULL) = (lease_owner IS NULL))
);

CREATE INDEX connection_tokens_key_id_idx ON connection_tokens (key_id);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['connections', 'connection_secrets', 'connection_tokens']
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
