-- Make whoever else is about to add a schedule wait until this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('schedules ' || CAST(:org_id AS text), 0))
