-- What claimed contacts and their records last agreed on, and which of their fields are in conflict. fields
-- is NULL where something else was agreed on since, by a delivery that was not written down. unsettled is what
-- deliveries may have brought since of which nobody knows whether they were applied, null where it is not
-- known what they told. See finish.sql for why org_id and crm travel along.
WITH asked AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.contact_id
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
)

SELECT
    cs.contact_id,
    CASE WHEN b.synced_time IS NOT DISTINCT FROM cs.synced_time THEN b.fields END AS fields,
    coalesce(b.conflicted, '{}') AS conflicted,
    cs.synced_time,
    cs.force,
    coalesce(
        cs.unsettled, CASE WHEN cs.synced_hash IS NULL THEN CAST('[null]' AS jsonb) ELSE '[]' END
    ) AS unsettled
FROM asked AS a
CROSS JOIN LATERAL (
    SELECT s.*
    FROM contact_syncs AS s
    WHERE s.org_id = a.org_id AND s.contact_id = a.contact_id AND s.crm = a.crm
    OFFSET 0
) AS cs
LEFT JOIN LATERAL (
    SELECT s.*
    FROM sync_bases AS s
    WHERE s.org_id = a.org_id AND s.contact_id = a.contact_id AND s.crm = a.crm
    OFFSET 0
) AS b ON TRUE
