-- Forget the records of contacts: a delivery makes new ones. A delivery that is under way may have brought
-- the old one back, and is not taken for everything. The contacts and their standings are locked before.
-- Where the records are :gone somebody wanted that: what the contact says now is no reason to make one anew.
-- See finish.sql for why org_id and crm travel along.
WITH asked AS MATERIALIZED (
    SELECT
        :org_id AS org_id, :crm AS crm, i.contact_id, CASE WHEN :gone THEN c.content_hash END AS gone_hash
    FROM unnest(CAST(:contact_ids AS uuid [])) AS i (contact_id)
    CROSS JOIN LATERAL (
        SELECT k.content_hash
        FROM contacts AS k
        WHERE k.org_id = :org_id AND k.id = i.contact_id
        OFFSET 0
    ) AS c
),

gone AS (
    DELETE FROM sync_bases AS b
    USING asked AS a
    WHERE b.org_id = a.org_id AND b.contact_id = a.contact_id AND b.crm = a.crm
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
    RETURNING f.org_id, f.crm
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
),

moved AS (
    UPDATE contact_syncs AS cs SET
        previous_status = cs.sync_status,
        sync_status = CASE cs.sync_status WHEN 'COMPLETE' THEN 'SELECTED' ELSE cs.sync_status END,
        processing_status =
            CASE cs.sync_status WHEN 'COMPLETE' THEN NULL ELSE cs.processing_status END,
        crm_contact_id = NULL,
        synced_time = NULL,
        synced_hash = NULL,
        gone_hash = a.gone_hash,
        unsettled = NULL,
        claimed_hash = CASE WHEN cs.claimed_hash IS NOT NULL THEN CAST('' AS bytea) END,
        update_time = now()
    FROM asked AS a
    WHERE cs.org_id = a.org_id AND cs.contact_id = a.contact_id AND cs.crm = a.crm
    RETURNING cs.previous_status AS before
)

INSERT INTO sync_counts AS n (org_id, crm, slot, selected, complete)
SELECT :org_id, :crm, :slot, count(*), -count(*)
FROM moved AS m
WHERE m.before = 'COMPLETE'
HAVING count(*) > 0
ON CONFLICT (org_id, crm, slot) DO UPDATE SET
    selected = n.selected + excluded.selected,
    complete = n.complete + excluded.complete
