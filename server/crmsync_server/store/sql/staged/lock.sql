-- Lock the contacts of a plan in the order in which all lock them.
WITH planned AS MATERIALIZED (
    SELECT DISTINCT r.org_id, r.contact_id
    FROM session_records AS r
    WHERE r.org_id = :org_id AND r.session_id = :plan_id AND r.contact_id IS NOT NULL
)

SELECT c.id
FROM planned AS p
INNER JOIN contacts AS c ON c.org_id = p.org_id AND c.id = p.contact_id
ORDER BY c.id
FOR NO KEY UPDATE OF c
