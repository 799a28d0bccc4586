-- A page of a lead's changes, newest first, before a change.
SELECT h.*
FROM lead_history AS h
WHERE h.org_id = :org_id
    AND h.lead_id = :id
    AND h.sequence < coalesce(CAST(:before AS bigint), 9223372036854775807)
ORDER BY h.sequence DESC
LIMIT :size
