-- Forget hours past their retention; they have been folded long before.
DELETE FROM error_hours AS e
WHERE e.slot = -1 AND e.hour < now() - make_interval(days => :days)
