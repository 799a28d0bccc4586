-- Count a call, if one more is allowed: so many an hour, and the hour begins with the first call. Answer
-- how many there were in this hour, nothing where it is not allowed; and how long until the next one.
WITH counted AS (
    INSERT INTO caller_limits AS l (org_id, caller, kind)
    VALUES (:org_id, :caller, :kind)
    ON CONFLICT (org_id, caller, kind) DO UPDATE SET
        start_time = CASE
            WHEN l.start_time <= now() - INTERVAL '1 hour' THEN now() ELSE l.start_time
        END,
        calls = CASE WHEN l.start_time <= now() - INTERVAL '1 hour' THEN 1 ELSE l.calls + 1 END
    WHERE l.calls < :most OR l.start_time <= now() - INTERVAL '1 hour'
    RETURNING l.calls
)

SELECT
    (SELECT c.calls FROM counted AS c) AS calls,
    coalesce(
        (
            SELECT extract(EPOCH FROM l.start_time + INTERVAL '1 hour' - now())
            FROM caller_limits AS l
            WHERE l.org_id = :org_id AND l.caller = :caller AND l.kind = :kind
        ),
        3600
    ) AS wait_seconds
