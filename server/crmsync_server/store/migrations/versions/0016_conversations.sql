-- One account for each organization. Whoever changes conversations locks its row first.
CREATE TABLE whatsapp_accounts (
  org_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL DEFAULT '',
  waba_id text NOT NULL DEFAULT '',
  business_id text NOT NULL DEFAULT '',
  refused boolean NOT NULL DEFAULT false,
  sync_time timestamptz,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT whatsapp_accounts_pkey PRIMARY KEY (org_id)
);

CREATE INDEX whatsapp_accounts_waba_id_idx ON whatsapp_accounts (waba_id) WHERE waba_id <> '';

-- next_send_time: the rate of a number as one point in time; see the glossary on GCRA.
CREATE TABLE whatsapp_numbers (
  org_id text NOT NULL,
  id text NOT NULL,
  display_number text NOT NULL DEFAULT '',
  verified_name text NOT NULL DEFAULT '',
  quality text NOT NULL DEFAULT '',
  is_active boolean NOT NULL DEFAULT false,
  verified boolean NOT NULL DEFAULT false,
  place integer NOT NULL DEFAULT 0,
  next_send_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT whatsapp_numbers_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT whatsapp_numbers_id_check CHECK (id <> '')
);

CREATE INDEX whatsapp_numbers_id_idx ON whatsapp_numbers (id);

-- What webhooks told, as it was read. key: a hash of it.
CREATE TABLE whatsapp_inbox (
  org_id text NOT NULL,
  key bytea NOT NULL,
  change jsonb NOT NULL,
  receive_time timestamptz NOT NULL DEFAULT now(),
  done_time timestamptz,
  CONSTRAINT whatsapp_inbox_pkey PRIMARY KEY (org_id, key)
);

CREATE INDEX whatsapp_inbox_waiting_idx ON whatsapp_inbox (org_id, receive_time)
WHERE done_time IS NULL;

CREATE INDEX whatsapp_inbox_done_time_idx ON whatsapp_inbox (done_time) WHERE done_time IS NOT NULL;

-- Who is behind a number of WhatsApp's, which may differ from the phone number that was dialled.
CREATE TABLE whatsapp_ids (
  org_id text NOT NULL,
  wa_id text NOT NULL,
  contact_id uuid NOT NULL,
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT whatsapp_ids_pkey PRIMARY KEY (org_id, wa_id)
);

CREATE INDEX whatsapp_ids_contact_idx ON whatsapp_ids (org_id, contact_id);

-- What is kept up of a contact's messages.
CREATE TABLE correspondents (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  message_count bigint NOT NULL DEFAULT 0,
  first_message_time timestamptz NOT NULL,
  last_message_time timestamptz NOT NULL,
  CONSTRAINT correspondents_pkey PRIMARY KEY (org_id, contact_id)
);

CREATE INDEX correspondents_count_idx ON correspondents (org_id, message_count, contact_id);

-- A conversation has the id of the message that opened it first.
CREATE TABLE conversations (
  org_id text NOT NULL,
  id uuid NOT NULL,
  contact_id uuid NOT NULL,
  phone_number_id text NOT NULL,
  status text NOT NULL,
  message_count bigint NOT NULL,
  unread_count integer NOT NULL,
  first_message_time timestamptz NOT NULL,
  last_message_time timestamptz NOT NULL,
  last_incoming_time timestamptz,
  last_message text NOT NULL DEFAULT '',
  close_time timestamptz,
  CONSTRAINT conversations_pkey PRIMARY KEY (org_id, id),
  -- Looked at when a transaction ends: one is opened and another closed by one statement.
  CONSTRAINT conversations_open_key EXCLUDE USING btree (
    org_id WITH =, contact_id WITH =, phone_number_id WITH =
  ) WHERE (status = 'OPEN') DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT conversations_status_check CHECK (status IN ('OPEN', 'CLOSED')),
  CONSTRAINT conversations_close_time_check CHECK ((status = 'OPEN') = (close_time IS NULL)),
  CONSTRAINT conversations_unread_count_check CHECK (unread_count >= 0)
);

CREATE INDEX conversations_pair_idx
ON conversations (org_id, contact_id, phone_number_id, first_message_time);

CREATE INDEX conversations_newest_idx ON conversations (org_id, last_message_time, id);

CREATE INDEX conversations_status_idx ON conversations (org_id, status, last_message_time, id);

CREATE INDEX conversations_unread_idx ON conversations (org_id, contact_id) WHERE unread_count > 0;

CREATE INDEX conversations_ending_idx ON conversations (last_message_time) WHERE status = 'OPEN';

-- When somebody said that a conversation is over.
CREATE TABLE conversation_closings (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  phone_number_id text NOT NULL,
  close_time timestamptz NOT NULL,
  CONSTRAINT conversation_closings_pkey PRIMARY KEY (org_id, contact_id, phone_number_id, close_time)
);

-- How many conversations there are, kept up.
CREATE TABLE conversation_counts (
  org_id text NOT NULL,
  status text NOT NULL,
  total bigint NOT NULL DEFAULT 0,
  CONSTRAINT conversation_counts_pkey PRIMARY KEY (org_id, status)
);

-- response_time: how long the first received message that it answers had waited.
-- transaction: of its last change that watchers are told; see the stream of events.
CREATE TABLE messages (
  org_id text NOT NULL,
  id uuid NOT NULL,
  whatsapp_id text,
  conversation_id uuid,
  contact_id uuid NOT NULL,
  phone_number_id text NOT NULL,
  direction text NOT NULL,
  type text NOT NULL,
  text text NOT NULL DEFAULT '',
  payload jsonb NOT NULL DEFAULT '{}',
  status text NOT NULL,
  error jsonb,
  is_read boolean NOT NULL DEFAULT false,
  response_time interval,
  message_time timestamptz NOT NULL,
  transaction bigint NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT messages_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT messages_whatsapp_id_key UNIQUE (org_id, whatsapp_id),
  CONSTRAINT messages_direction_check CHECK (direction IN ('INCOMING', 'OUTGOING')),
  CONSTRAINT messages_status_check CHECK (
    status IN ('QUEUED', 'UNKNOWN', 'SENT', 'FAILED', 'DELIVERED', 'READ')
  )
);

CREATE INDEX messages_pair_idx
ON messages (org_id, contact_id, phone_number_id, message_time, id);

CREATE INDEX messages_sent_idx ON messages (org_id, contact_id, phone_number_id, message_time)
WHERE direction = 'OUTGOING';

CREATE INDEX messages_conversation_idx ON messages (org_id, conversation_id, message_time, id);

CREATE INDEX messages_transaction_idx ON messages (org_id, transaction);

-- What was told of messages that were sent, also before the message is known. message_id: our own, as
-- it came back.
CREATE TABLE message_statuses (
  org_id text NOT NULL,
  whatsapp_id text NOT NULL,
  status text NOT NULL,
  status_time timestamptz NOT NULL,
  message_id uuid,
  error jsonb,
  receive_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT message_statuses_pkey PRIMARY KEY (org_id, whatsapp_id, status)
);

-- What is kept up of a day, in UTC. last_contacts: contacts whose newest message is of that day.
CREATE TABLE message_days (
  org_id text NOT NULL,
  day date NOT NULL,
  sent bigint NOT NULL DEFAULT 0,
  received bigint NOT NULL DEFAULT 0,
  new_contacts bigint NOT NULL DEFAULT 0,
  last_contacts bigint NOT NULL DEFAULT 0,
  answers bigint NOT NULL DEFAULT 0,
  response_time interval NOT NULL DEFAULT '0',
  CONSTRAINT message_days_pkey PRIMARY KEY (org_id, day)
);

-- Messages to be sent. lease_end_time: set, and committed, before it is handed over.
CREATE TABLE message_outbox (
  org_id text NOT NULL,
  message_id uuid NOT NULL,
  phone_number_id text NOT NULL,
  recipient text NOT NULL,
  content jsonb NOT NULL,
  due_time timestamptz NOT NULL DEFAULT now(),
  tries integer NOT NULL DEFAULT 0,
  lease_end_time timestamptz,
  CONSTRAINT message_outbox_pkey PRIMARY KEY (org_id, message_id)
);

CREATE INDEX message_outbox_line_idx
ON message_outbox (org_id, phone_number_id, recipient, message_id);

CREATE INDEX message_outbox_leased_idx ON message_outbox (lease_end_time)
WHERE lease_end_time IS NOT NULL;

-- How often a caller has called, since the hour began with a first call.
CREATE TABLE caller_limits (
  org_id text NOT NULL,
  caller text NOT NULL,
  kind text NOT NULL,
  start_time timestamptz NOT NULL DEFAULT now(),
  calls integer NOT NULL DEFAULT 1,
  CONSTRAINT caller_limits_pkey PRIMARY KEY (org_id, caller, kind)
);

CREATE INDEX caller_limits_start_time_idx ON caller_limits (start_time);

-- Senders are found by the digits of their phone numbers.
CREATE INDEX contacts_phone_digits_idx
ON contacts (org_id, regexp_replace(phone, '^00|\D', '', 'g'))
WHERE delete_time IS NULL AND phone <> '';

DO $$
DECLARE
  walled text;
BEGIN
  FOREACH walled IN ARRAY ARRAY[
    'whatsapp_accounts', 'whatsapp_numbers', 'whatsapp_inbox', 'whatsapp_ids', 'correspondents',
    'conversations', 'conversation_closings', 'conversation_counts', 'messages', 'message_statuses',
    'message_days', 'message_outbox', 'caller_limits'
  ]
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', walled);
    EXECUTE format(
      'CREATE POLICY organization ON %I USING ('
      'org_id = current_setting(''crmsync.org_id'', true) '
      'OR current_setting(''crmsync.org_id'', true) = ''*'')',
      walled
    );
  END LOOP;
END
$$;
