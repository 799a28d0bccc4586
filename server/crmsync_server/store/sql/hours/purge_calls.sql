-- Forget hours past their retention; they have been folded long before.
DELETE FROM sync_hours AS h
WHERE h.slot = -1 AND h.hour < now() - make_interval(days => :days)
