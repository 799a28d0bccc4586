-- The last event of an organization that can be told, unless it is of an earlier transaction.
SELECT sa.contact_id, sa.crm, sa.attempt, sa.transaction, sa.end_time
FROM sync_attempts AS sa
WHERE sa.org_id = :org_id
    AND sa.transaction >= :transaction
    AND sa.transaction < :settled
    AND sa.end_time >= :since
ORDER BY sa.transaction DESC, sa.contact_id DESC, sa.crm COLLATE "C" DESC, sa.attempt DESC
LIMIT 1
