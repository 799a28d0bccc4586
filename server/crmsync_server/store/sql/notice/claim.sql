-- Claim due notices of one organization and CRM: until the lease is over nobody else takes them.
WITH due AS MATERIALIZED (
    SELECT n.key
    FROM notices AS n
    WHERE n.org_id = :org_id
        AND n.crm = :crm
        AND n.done_time IS NULL
        AND n.due_time <= now()
    ORDER BY n.due_time, n.key
    LIMIT :size
    FOR UPDATE SKIP LOCKED
)

UPDATE notices AS n SET due_time = now() + CAST(:lease AS interval)
FROM due AS d
WHERE n.org_id = :org_id AND n.crm = :crm AND n.key = d.key
RETURNING
    n.key,
    n.kind,
    n.crm_contact_id,
    n.email,
    n.retry_count,
    n.outcome,
    n.due_time,
    now() - n.receive_time AS age
