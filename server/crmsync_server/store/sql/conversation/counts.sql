-- How many conversations there are, by status, as it is kept up.
SELECT n.status, n.total FROM conversation_counts AS n
WHERE n.org_id = :org_id
