SELECT to_date(right(partition.relname, 8), 'YYYYMMDD')
FROM pg_inherits AS inherits
JOIN pg_class AS partition ON partition.oid = inherits.inhrelid
WHERE inherits.inhparent = CAST('sync_attempts' AS regclass)
  AND partition.relname <> 'sync_attempts_default'
ORDER BY partition.relname
