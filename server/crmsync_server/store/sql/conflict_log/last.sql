-- The last change of a conflict that can be told, unless it is of an earlier transaction.
SELECT f.id, f.transaction, f.update_time FROM conflicts AS f
WHERE f.org_id = :org_id
    AND f.transaction >= :transaction
    AND f.transaction < :settled
ORDER BY f.transaction DESC, f.id DESC
LIMIT 1
