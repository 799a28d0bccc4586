-- Count an organization's schedules.
SELECT count(s.id)
FROM schedules AS s
WHERE s.org_id = :org_id
