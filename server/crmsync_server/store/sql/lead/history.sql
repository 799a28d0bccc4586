-- A page of a lead's changes, newest first, before a change.
SELECT h.*
FROM lead_history AS h
WHERE h.org_id = :org_id
    AND h.lead_id = :id
    AND (CAST(:before AS bigint) IS NULL OR h.sequence < :before)
ORDER BY h.sequence DESC
LIMIT :size
