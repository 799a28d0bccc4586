-- The next conflicts of an organization that changed after a place, in transactions that have all
-- ended, in the order in which they became visible. One that changes again moves on.
SELECT f.* FROM conflicts AS f
WHERE f.org_id = :org_id
    AND f.transaction >= :transaction
    AND f.transaction < :settled
    AND (f.transaction, f.id) > (:transaction, :conflict_id)
ORDER BY f.transaction, f.id
LIMIT :size
