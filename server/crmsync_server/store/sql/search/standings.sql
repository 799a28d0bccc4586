-- How these contacts stand at the CRMs that they were ever selected for; each is looked up by its key. What
-- holds one back is told where it is looked at alone: see standing/get.sql.
SELECT
    cs.*,
    CAST(NULL AS uuid) AS paused_session_id
FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
CROSS JOIN LATERAL (
    SELECT cs.*
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id AND cs.contact_id = i.contact_id
    OFFSET 0
) AS cs
