-- Forget what was agreed on with records that removals have just ended (finish.sql), in their transaction:
-- only for attempts that it recorded, which is told by their times. Conflicts with them are settled. What the
-- contacts say now is no reason to make new ones.
WITH recorded AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.contact_id
    FROM unnest(CAST(:contact_ids AS uuid []), CAST(:attempts AS integer [])) AS i (
        contact_id, attempt
    )
    CROSS JOIN LATERAL (
        SELECT s.settled_attempt, s.update_time, s.crm_contact_id
        FROM contact_syncs AS s
        WHERE s.org_id = :org_id AND s.contact_id = i.contact_id AND s.crm = :crm
        OFFSET 0
    ) AS cs
    WHERE cs.settled_attempt = i.attempt
        AND cs.update_time = now()
        AND cs.crm_contact_id IS NULL
),

settled AS (
    UPDATE conflicts AS f SET
        state = 'SETTLED',
        transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        update_time = now(),
        resolve_time = now()
    FROM recorded AS r
    WHERE f.org_id = r.org_id
        AND f.contact_id = r.contact_id
        AND f.crm = r.crm
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

kept AS (
    UPDATE contact_syncs AS cs SET gone_hash = c.content_hash
    FROM recorded AS r
    CROSS JOIN LATERAL (
        SELECT k.content_hash
        FROM contacts AS k
        WHERE k.org_id = r.org_id AND k.id = r.contact_id
        OFFSET 0
    ) AS c
    WHERE cs.org_id = r.org_id AND cs.contact_id = r.contact_id AND cs.crm = r.crm
)

DELETE FROM sync_bases AS b
USING recorded AS r
WHERE b.org_id = r.org_id AND b.contact_id = r.contact_id AND b.crm = r.crm
