-- Lock the session of a plan, so that it is applied once. A session that failed has applied nothing.
SELECT
    s.*,
    s.end_time < now() - interval '7 days' AS expired,
    s.plan ->> 'applied_by' IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM sessions AS f
        WHERE f.org_id = s.org_id
            AND f.id = CAST(s.plan ->> 'applied_by' AS uuid)
            AND f.state = 'FAILED'
    ) AS applied
FROM sessions AS s
WHERE s.org_id = :org_id AND s.id = :session_id
FOR UPDATE
