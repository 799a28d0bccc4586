-- A conflict, locked for this transaction. Its contact and the standings of that are locked before.
SELECT f.* FROM conflicts AS f
WHERE f.org_id = :org_id AND f.id = :conflict_id
FOR UPDATE
