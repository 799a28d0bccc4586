-- In how many seconds the next run is due or lost its holder, 0 when that is now; NULL without one: `greatest`
-- alone would make 0 of that.
SELECT
    CASE
        WHEN count(*) > 0
            THEN extract(EPOCH FROM greatest(
                min(greatest(r.due_time, coalesce(r.lease_until, r.due_time))), now()
            ) - now())
    END AS seconds
FROM session_runs AS r
INNER JOIN sessions AS s ON s.org_id = r.org_id AND s.id = r.session_id
WHERE s.state = 'RUNNING'
