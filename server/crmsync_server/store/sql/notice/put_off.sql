-- Let go of notices that are still held, until they are due again. Tries are counted in a row: what
-- fails for another reason begins anew.
UPDATE notices AS n SET
    due_time = now() + l.rest,
    retry_count = CASE
        WHEN NOT l.counted THEN n.retry_count
        WHEN n.outcome IS DISTINCT FROM l.code THEN 1
        ELSE n.retry_count + 1
    END,
    outcome = coalesce(l.code, n.outcome)
FROM unnest(
    CAST(:keys AS text []),
    CAST(:rests AS interval []),
    CAST(:codes AS text []),
    CAST(:counted AS boolean [])
) AS l (key, rest, code, counted)
WHERE n.org_id = :org_id
    AND n.crm = :crm
    AND n.key = l.key
    AND n.done_time IS NULL
    AND n.due_time = :until
