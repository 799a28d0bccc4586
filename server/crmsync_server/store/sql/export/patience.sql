-- End the session of a reader who does not go on: what an open snapshot sees cannot be cleared away.
SET LOCAL idle_in_transaction_session_timeout = '5min'
