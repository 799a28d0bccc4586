-- What a caller searched for, the newest first.
SELECT r.*
FROM recent_searches AS r
WHERE r.org_id = :org_id
    AND r.caller = :caller
    AND r.search_time > now() - make_interval(days => :days)
ORDER BY r.search_time DESC
LIMIT :size
