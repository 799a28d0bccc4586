-- Forget searches that are too old, of all callers.
DELETE FROM recent_searches AS r
WHERE r.search_time < now() - make_interval(days => :days)
