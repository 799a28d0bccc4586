-- Note what is not as the plan has it, once for each record, and count it in the session.
WITH noted AS (
    INSERT INTO session_records (
        org_id, session_id, direction, key, action, error_code, error_message
    )
    SELECT
        :org_id, :session_id, 'PULL', k.key, 'ERROR', 'PLAN_DRIFTED',
        'the record is not as the plan has it'
    FROM unnest(CAST(:keys AS text [])) AS k (key)
    ON CONFLICT (org_id, session_id, direction, key) DO NOTHING
    RETURNING key
)

UPDATE sessions AS s SET
    pulled_errors = s.pulled_errors + n.count,
    revision = s.revision + 1,
    update_time = now()
FROM (SELECT count(*) AS count FROM noted) AS n
WHERE s.org_id = :org_id AND s.id = :session_id AND n.count > 0
