-- Add what is to be done for a session.
INSERT INTO session_runs (org_id, session_id, crm, phase, task)
VALUES (:org_id, :session_id, :crm, :phase, CAST(:task AS jsonb))
