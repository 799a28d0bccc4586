-- Keep facts of a session's plan beside those that there are.
UPDATE sessions AS s SET plan = coalesce(s.plan, '{}') || CAST(:facts AS jsonb)
WHERE s.org_id = :org_id AND s.id = :session_id
