-- How far events can be told, and from where they are kept. Below `settled` every transaction has
-- ended: what it wrote is visible to the statements that follow, and nothing is added there any
-- more. `unsettled` tells whether anything may be waiting above it.
-- An id that left no trace on disk before a crash is given out again after it: only below the one
-- that the last checkpoint wrote down, `durable`, is no id ever given out again.
-- Transaction ids begin anew in another cluster: the system's identifier tells them apart.
-- A batch that was begun just before midnight may be recorded under the day before although its
-- transaction is the later one: what is told to be kept begins a little after the oldest day.
SELECT
    CAST(CAST(pg_snapshot_xmin(s.snapshot) AS text) AS bigint) AS settled,
    pg_snapshot_xmin(s.snapshot) <> pg_snapshot_xmax(s.snapshot) AS unsettled,
    CAST(split_part(c.next_xid, ':', 1) AS bigint) * 4294967296
    + CAST(split_part(c.next_xid, ':', 2) AS bigint) AS durable,
    (SELECT y.system_identifier FROM pg_control_system() AS y) AS system,
    now() AS time,
    coalesce(
        o.day + CASE
            WHEN o.day < date_trunc('day', now(), 'UTC') THEN INTERVAL '10 minutes'
            ELSE INTERVAL '0'
        END,
        to_timestamp(0)
    ) AS kept_from
FROM (SELECT pg_current_snapshot() AS snapshot) AS s
CROSS JOIN pg_control_checkpoint() AS c
CROSS JOIN (
    SELECT
        min(CAST(to_date(right(partition.relname, 8), 'YYYYMMDD') AS timestamp))
        AT TIME ZONE 'UTC' AS day
    FROM pg_inherits AS inherits
    INNER JOIN pg_class AS partition ON partition.oid = inherits.inhrelid
    WHERE inherits.inhparent = CAST('sync_attempts' AS regclass)
        AND partition.relname <> 'sync_attempts_default'
) AS o
