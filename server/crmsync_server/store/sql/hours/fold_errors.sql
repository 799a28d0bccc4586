-- The same for errors by code.
WITH over AS (
    DELETE FROM error_hours AS e
    WHERE e.slot >= 0 AND e.hour < date_trunc('hour', now(), 'UTC') - interval '2 hours'
    RETURNING e.*
)

INSERT INTO error_hours AS e (org_id, crm, hour, code, slot, attempts, errors)
SELECT o.org_id, o.crm, o.hour, o.code, -1, sum(o.attempts), sum(o.errors)
FROM over AS o
GROUP BY o.org_id, o.crm, o.hour, o.code
ON CONFLICT (org_id, crm, hour, code, slot) DO UPDATE SET
    attempts = e.attempts + excluded.attempts,
    errors = e.errors + excluded.errors
