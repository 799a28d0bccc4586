-- Whether the change of a conflict that a resume token names has happened in this database: it is there
-- as the token says, or has changed since. Otherwise the database was set back to before it.
SELECT
    f.transaction > :transaction
    OR (f.transaction = :transaction AND date_trunc('second', f.update_time) = :time) AS found
FROM conflicts AS f
WHERE f.org_id = :org_id
    AND f.id = :conflict_id
    AND :transaction < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
