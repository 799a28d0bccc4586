-- Whether the change of a message that a resume token names has happened in this database: it is there as
-- the token says, or has changed since. Otherwise the database was set back to before it.
SELECT
    m.transaction > :transaction
    OR (m.transaction = :transaction AND date_trunc('second', m.update_time) = :time) AS found
FROM messages AS m
WHERE m.org_id = :org_id
    AND m.id = :message_id
    AND :transaction < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
