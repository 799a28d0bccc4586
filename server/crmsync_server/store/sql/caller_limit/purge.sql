-- Forget hours that are over.
DELETE FROM caller_limits AS l WHERE l.start_time < now() - INTERVAL '2 hours'
