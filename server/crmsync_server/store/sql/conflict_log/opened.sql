-- The next open conflicts between two places, in the order of their last changes.
SELECT f.* FROM conflicts AS f
WHERE f.org_id = :org_id
    AND f.transaction >= :transaction
    AND (f.transaction, f.id) > (:transaction, :conflict_id)
    AND (f.transaction, f.id) <= (:until_transaction, :until_id)
    AND f.state = 'OPEN'
    AND (CAST(:crm AS text) IS NULL OR f.crm = :crm)
ORDER BY f.transaction, f.id
LIMIT :size
