-- End the session of a reader who does not go on, should the server not do it: what an open snapshot sees
-- cannot be cleared away.
SET LOCAL idle_in_transaction_session_timeout = '15min'
