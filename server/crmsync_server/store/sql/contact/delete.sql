-- Leave tombstones, for the history and for deliveries that still wait: they see the raised version
-- and end as skipped. The emails are free again. What was agreed on with CRMs is forgotten but for which
-- records they are, so that no reading takes one for a new contact; conflicts have nothing left to settle,
-- and no search finds them.
-- The contacts and their standings are locked before.
WITH deleted AS (
    UPDATE contacts AS c SET delete_time = now(), update_time = now(), version = c.version + 1
    WHERE c.org_id = :org_id
        AND c.id = ANY(CAST(:contact_ids AS uuid []))
        AND c.delete_time IS NULL
    RETURNING c.org_id, c.id, c.version
),

forgotten AS (
    UPDATE sync_bases AS b SET fields = NULL, echoes = '{}', conflicted = '{}', update_time = now()
    FROM deleted AS d
    WHERE b.org_id = d.org_id AND b.contact_id = d.id
),

-- Not removed: whoever indexes them at this moment, from what they were, would put them back. So there is a newer
-- version there, without a word.
unfound AS (
    INSERT INTO contact_terms AS t (org_id, contact_id, version, terms)
    SELECT d.org_id, d.id, d.version, ''
    FROM deleted AS d
    ORDER BY d.org_id, d.id
    ON CONFLICT (org_id, contact_id) DO UPDATE SET
        version = excluded.version,
        terms = excluded.terms
),

settled AS (
    UPDATE conflicts AS f SET
        state = 'SETTLED',
        transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        update_time = now(),
        resolve_time = now()
    FROM deleted AS d
    WHERE f.org_id = d.org_id AND f.contact_id = d.id AND f.state = 'OPEN'
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
)

UPDATE contact_syncs AS cs SET wanted_version = d.version
FROM deleted AS d
WHERE cs.org_id = d.org_id
    AND cs.contact_id = d.id
    AND cs.processing_status IN ('QUEUED', 'PROCESSING')
