-- Wait for a reconcile of the organization's users; others that only take users in go on beside.
SELECT pg_advisory_xact_lock_shared(hashtextextended('users/' || :org_id, 0)) IS NOT NULL AS shared
