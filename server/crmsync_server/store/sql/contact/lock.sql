-- Lock contacts that are about to change, and read them. FOR UPDATE and not less: a standing that is
-- being made for one refers to it, and so waits for the change.
WITH wanted AS MATERIALIZED (
    SELECT :org_id AS org_id, i.id
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (id)
)

SELECT c.*
FROM wanted AS w
INNER JOIN contacts AS c ON c.org_id = w.org_id AND c.id = w.id
WHERE c.delete_time IS NULL
ORDER BY c.id
FOR UPDATE OF c
