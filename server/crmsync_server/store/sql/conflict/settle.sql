-- End the open conflicts of contacts at a CRM: nothing of them is in conflict any more. The contacts are
-- locked before. See finish.sql for why org_id and crm travel along.
WITH asked AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.contact_id
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
),

settled AS (
    UPDATE conflicts AS f SET
        state = 'SETTLED',
        transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        update_time = now(),
        resolve_time = now()
    FROM asked AS a
    WHERE f.org_id = a.org_id
        AND f.contact_id = a.contact_id
        AND f.crm = a.crm
        AND f.state = 'OPEN'
    RETURNING f.org_id, f.crm, f.id
),

closed AS (
    INSERT INTO read_hours AS h (org_id, crm, hour, slot, conflicts_settled)
    SELECT
        s.org_id, s.crm, date_trunc('hour', now(), 'UTC'),
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)), count(*)
    FROM settled AS s
    GROUP BY s.org_id, s.crm
    ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
        conflicts_settled = h.conflicts_settled + excluded.conflicts_settled
)

SELECT s.id FROM settled AS s
