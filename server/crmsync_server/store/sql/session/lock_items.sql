-- Lock the standings of a session's pending items, in the order every other statement locks them,
-- so that the cancel which follows in this transaction decides on what cannot move any more.
WITH pending AS MATERIALIZED (
    SELECT si.org_id, si.contact_id, si.crm
    FROM session_items AS si
    WHERE si.org_id = :org_id AND si.session_id = :session_id AND si.outcome IS NULL
)

SELECT cs.contact_id
FROM pending AS si
INNER JOIN contact_syncs AS cs
    ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
ORDER BY cs.contact_id
FOR UPDATE OF cs
