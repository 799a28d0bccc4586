-- The next events of an organization after a place, of transactions that have all ended, in the
-- order in which they became visible. Ids of CRMs are compared by their bytes, as the server does.
-- Nothing after the place is recorded under an earlier day than :since: see event.page.
SELECT
    sa.contact_id,
    sa.crm,
    sa.attempt,
    sa.transaction,
    sa.outcome,
    sa.start_time,
    sa.end_time,
    sa.contact_version,
    sa.error_code,
    sa.error_message,
    sa.request_id,
    sa.skip_reason,
    sa.crm_contact_id,
    sa.next_retry_time
FROM sync_attempts AS sa
WHERE sa.org_id = :org_id
    AND sa.transaction >= :transaction
    AND sa.transaction < :settled
    AND (sa.transaction, sa.contact_id, sa.crm COLLATE "C", sa.attempt)
    > (:transaction, :contact_id, :crm, :attempt)
    AND sa.end_time >= :since
ORDER BY sa.transaction, sa.contact_id, sa.crm COLLATE "C", sa.attempt
LIMIT :size
