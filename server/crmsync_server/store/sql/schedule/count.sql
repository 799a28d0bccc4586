-- Count an organization's schedules; whoever else is about to add one waits until this transaction
-- ends.
SELECT count(s.id)
FROM (SELECT pg_advisory_xact_lock(hashtextextended('schedules ' || :org_id, 0))) AS l
LEFT JOIN schedules AS s ON s.org_id = :org_id
