-- Prolong the lease of notices that are still held.
WITH renewed AS (
    UPDATE notices AS n SET due_time = now() + CAST(:lease AS interval)
    WHERE n.org_id = :org_id
        AND n.crm = :crm
        AND n.key = ANY(CAST(:keys AS text []))
        AND n.done_time IS NULL
        AND n.due_time = :until
    RETURNING n.due_time
)

SELECT max(due_time) FROM renewed
