-- Records of which something else became than the plan says.
SELECT coalesce(p.key, r.key) AS key, p.action AS planned, r.action AS done
FROM (
    SELECT * FROM session_records
    WHERE org_id = :org_id
        AND session_id = :plan_id
        AND direction = 'PULL'
        AND action IN ('CREATED', 'UPDATED', 'CONFLICT', 'DELETED')
) AS p
FULL JOIN (
    SELECT * FROM session_records
    WHERE org_id = :org_id AND session_id = :session_id AND direction = 'PULL'
) AS r ON r.key = p.key
WHERE p.action IS DISTINCT FROM r.action
    OR (p.action = 'UPDATED' AND p.fields IS DISTINCT FROM r.fields)
ORDER BY 1
LIMIT :size
