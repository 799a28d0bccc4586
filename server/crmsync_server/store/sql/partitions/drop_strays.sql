-- Rows of days that never had a partition.
DELETE FROM sync_attempts_default
WHERE end_time < :before
