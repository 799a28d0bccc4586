-- In how many seconds the next run is due or lost its holder; NULL without one.
SELECT greatest(
    extract(EPOCH FROM min(greatest(r.due_time, coalesce(r.lease_until, r.due_time))) - now()), 0
) AS seconds
FROM session_runs AS r
INNER JOIN sessions AS s ON s.org_id = r.org_id AND s.id = r.session_id
WHERE s.state = 'RUNNING'
