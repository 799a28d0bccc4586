-- Calls to CRMs go into the row that every delivery writes anyway. Hours that are over are folded into one
-- slot, -1, which the index on (slot, hour) tells from those that are written still.
ALTER TABLE sync_hours
  ADD COLUMN calls bigint NOT NULL DEFAULT 0,
  ADD COLUMN call_records bigint NOT NULL DEFAULT 0,
  ADD COLUMN call_seconds double precision NOT NULL DEFAULT 0,
  ADD COLUMN call_steps bigint[] NOT NULL DEFAULT '{}';

CREATE INDEX sync_hours_slot_idx ON sync_hours (slot, hour);

CREATE TABLE error_hours (
  org_id text NOT NULL,
  crm text NOT NULL,
  hour timestamptz NOT NULL,
  code text NOT NULL,
  slot smallint NOT NULL,
  attempts bigint NOT NULL DEFAULT 0,
  errors bigint NOT NULL DEFAULT 0,
  CONSTRAINT error_hours_pkey PRIMARY KEY (org_id, crm, hour, code, slot)
);

CREATE INDEX error_hours_slot_idx ON error_hours (slot, hour);

ALTER TABLE error_hours ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON error_hours USING (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);

-- A slot for each transaction, its id: conflicts are written while sessions and contacts are locked, in
-- more than one order, and a row that all share would have them wait for each other in a circle.
CREATE TABLE read_hours (
  org_id text NOT NULL,
  crm text NOT NULL,
  hour timestamptz NOT NULL,
  slot bigint NOT NULL,
  session_records bigint NOT NULL DEFAULT 0,
  notice_records bigint NOT NULL DEFAULT 0,
  conflicts_opened bigint NOT NULL DEFAULT 0,
  conflicts_resolved bigint NOT NULL DEFAULT 0,
  conflicts_settled bigint NOT NULL DEFAULT 0,
  CONSTRAINT read_hours_pkey PRIMARY KEY (org_id, crm, hour, slot)
);

CREATE INDEX read_hours_slot_idx ON read_hours (slot, hour);

ALTER TABLE read_hours ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON read_hours USING (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);

-- What is known of the time before; what attempts ended with is in their history alone, and stays there.
INSERT INTO read_hours (
  org_id, crm, hour, slot, session_records, conflicts_opened, conflicts_resolved, conflicts_settled
)
SELECT
  k.org_id, k.crm, date_trunc('hour', k.time, 'UTC'), -1,
  sum(k.session_records), sum(k.opened), sum(k.resolved), sum(k.settled)
FROM (
  SELECT
    s.org_id, s.crm, s.create_time AS time,
    s.pulled_created + s.pulled_updated + s.pulled_unchanged + s.pulled_conflicts
    + s.pulled_deleted + s.pulled_skipped + s.pulled_errors AS session_records,
    0 AS opened, 0 AS resolved, 0 AS settled
  FROM sessions AS s
  UNION ALL
  SELECT f.org_id, f.crm, f.create_time, 0, 1, 0, 0 FROM conflicts AS f
  UNION ALL
  SELECT
    f.org_id, f.crm, f.resolve_time, 0, 0,
    CASE f.state WHEN 'RESOLVED' THEN 1 ELSE 0 END,
    CASE f.state WHEN 'SETTLED' THEN 1 ELSE 0 END
  FROM conflicts AS f
  WHERE f.resolve_time IS NOT NULL
) AS k
GROUP BY k.org_id, k.crm, date_trunc('hour', k.time, 'UTC')
HAVING sum(k.session_records) + sum(k.opened) + sum(k.resolved) + sum(k.settled) > 0;
