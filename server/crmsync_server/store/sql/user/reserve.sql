-- Let this transaction be the only one that reconciles the users of an organization: False when
-- another does. Then wait for those that only take users in, and let later ones wait.
SELECT CASE
    WHEN pg_try_advisory_xact_lock(hashtextextended('users/reconcile/' || :org_id, 0))
        THEN pg_advisory_xact_lock(hashtextextended('users/' || :org_id, 0)) IS NOT NULL
    ELSE FALSE
END AS reserved
