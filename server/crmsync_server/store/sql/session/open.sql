-- Open a session that is filled afterwards; nothing where another of its kind is active at the CRM, and
-- this one is not to run beside it.
INSERT INTO sessions (
    org_id, id, kind, crm, state, creator, direction, dry_run, exclusive, pulling
)
VALUES (
    :org_id, :session_id, :kind, :crm, 'RUNNING', :creator, :direction, :dry_run, :exclusive, TRUE
)
ON CONFLICT (org_id, crm, kind) WHERE exclusive AND end_time IS NULL DO NOTHING
RETURNING id
