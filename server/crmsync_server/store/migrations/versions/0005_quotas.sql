-- What a bucket's replicas have noted was an arrival time alone; now it is the calls of the window
-- themselves, and what the CRM said of it. Grants last for moments: what is there is forgotten.
DELETE FROM quotas;

ALTER TABLE quotas
  ADD COLUMN declared bigint NOT NULL,
  ADD COLUMN calls bigint NOT NULL,
  ADD COLUMN period interval NOT NULL,
  ADD COLUMN rate double precision NOT NULL DEFAULT 1,
  ADD COLUMN refused_time timestamptz,
  ADD COLUMN blocked_until timestamptz,
  ADD COLUMN urgent_time timestamptz,
  ADD COLUMN reset_time timestamptz,
  ADD COLUMN first_slot bigint NOT NULL DEFAULT 0,
  ADD COLUMN spent bigint[] NOT NULL DEFAULT '{}',
  ADD CONSTRAINT quotas_calls_check CHECK (declared > 0 AND calls > 0),
  ADD CONSTRAINT quotas_period_check CHECK (period > interval '0'),
  ADD CONSTRAINT quotas_rate_check CHECK (rate > 0 AND rate <= 1);

-- What a forecast reads of the sessions that are open at one CRM: few, however many have ended.
CREATE INDEX sessions_open_idx ON sessions (org_id, crm, id) WHERE end_time IS NULL;
