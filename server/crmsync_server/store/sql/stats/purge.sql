-- Forget hours past their retention. A few rows for each hour and lane: the whole table is small.
DELETE FROM sync_hours AS h
WHERE h.hour < now() - make_interval(days => :days)
