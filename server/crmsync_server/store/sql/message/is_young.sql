-- Whether nothing is known yet of what the tables hold, as before autovacuum has come by.
SELECT min(c.reltuples) < 100
FROM pg_class AS c
WHERE c.oid IN (CAST('messages' AS regclass), CAST('conversations' AS regclass))
