-- Note what became of notices that are still held.
UPDATE notices AS n SET done_time = now(), outcome = o.outcome
FROM unnest(CAST(:keys AS text []), CAST(:outcomes AS text [])) AS o (key, outcome)
WHERE n.org_id = :org_id
    AND n.crm = :crm
    AND n.key = o.key
    AND n.done_time IS NULL
    AND n.due_time = :until
RETURNING n.key
