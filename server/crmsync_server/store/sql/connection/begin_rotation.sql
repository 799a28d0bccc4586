-- Whether this transaction is the only one that rotates keys.
SELECT pg_try_advisory_xact_lock(CAST(:lock AS bigint))
