-- Write down what a locked conflict was resolved to, and by whom.
UPDATE conflicts AS f SET
    state = 'RESOLVED',
    resolution = CAST(:results AS jsonb),
    resolver = :resolver,
    resolve_session_id = :session_id,
    transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
    update_time = now(),
    resolve_time = now()
WHERE f.org_id = :org_id AND f.id = :conflict_id
RETURNING f.*
