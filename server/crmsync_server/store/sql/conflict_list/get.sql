-- One conflict.
SELECT f.* FROM conflicts AS f
WHERE f.org_id = :org_id AND f.id = :conflict_id
