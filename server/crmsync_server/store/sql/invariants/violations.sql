-- Everything that must hold of the queue at any committed moment; a row is a broken promise.
WITH items AS (
    SELECT
        si.org_id,
        si.session_id,
        count(*) AS total,
        count(*) FILTER (WHERE si.outcome = 'SYNCED') AS synced,
        count(*) FILTER (WHERE si.outcome = 'SKIPPED') AS skipped,
        count(*) FILTER (WHERE si.outcome = 'ERROR') AS errors,
        count(*) FILTER (WHERE si.outcome = 'CANCELLED') AS cancelled
    FROM session_items AS si
    GROUP BY si.org_id, si.session_id
),

kept_counts AS (
    SELECT
        n.org_id,
        n.crm,
        sum(n.selected) AS selected,
        sum(n.open) AS open,
        sum(n.complete) AS complete,
        sum(n.error) AS error,
        sum(n.skipped) AS skipped
    FROM sync_counts AS n
    GROUP BY n.org_id, n.crm
),

true_counts AS (
    SELECT
        cs.org_id,
        cs.crm,
        count(*) FILTER (WHERE cs.sync_status = 'SELECTED') AS selected,
        count(*) FILTER (WHERE cs.sync_status IN ('QUEUED', 'PROCESSING')) AS open,
        count(*) FILTER (WHERE cs.sync_status = 'COMPLETE') AS complete,
        count(*) FILTER (WHERE cs.sync_status = 'ERROR') AS error,
        count(*) FILTER (WHERE cs.sync_status = 'SKIPPED') AS skipped
    FROM contact_syncs AS cs
    GROUP BY cs.org_id, cs.crm
),

attempts AS (
    SELECT
        sa.org_id,
        sa.contact_id,
        sa.crm,
        count(*) AS recorded,
        count(DISTINCT sa.attempt) AS different
    FROM sync_attempts AS sa
    GROUP BY sa.org_id, sa.contact_id, sa.crm
),

kept_hours AS (
    SELECT
        h.org_id,
        h.crm,
        sum(h.synced) AS synced,
        sum(h.skipped) AS skipped,
        sum(
            h.synced + h.skipped + h.rejected + h.postponed + h.retried + h.unknown + h.released
            + h.expired
        ) AS recorded,
        sum(h.errors) AS errors,
        sum(h.call_records - h.synced - h.skipped - h.rejected - h.postponed - h.retried - h.unknown)
            AS unexplained
    FROM sync_hours AS h
    GROUP BY h.org_id, h.crm
),

true_hours AS (
    SELECT
        sa.org_id,
        sa.crm,
        count(*) FILTER (WHERE sa.outcome = 'SYNCED') AS synced,
        count(*) FILTER (WHERE sa.outcome = 'SKIPPED') AS skipped,
        count(*) AS recorded
    FROM sync_attempts AS sa
    GROUP BY sa.org_id, sa.crm
),

kept_codes AS (
    SELECT
        e.org_id,
        e.crm,
        e.code,
        sum(e.attempts) AS attempts,
        sum(e.errors) AS errors
    FROM error_hours AS e
    GROUP BY e.org_id, e.crm, e.code
),

true_codes AS (
    SELECT
        sa.org_id,
        sa.crm,
        left(sa.error_code, 100) AS code,
        count(*) AS attempts
    FROM sync_attempts AS sa
    WHERE sa.error_code IS NOT NULL
    GROUP BY sa.org_id, sa.crm, left(sa.error_code, 100)
),

kept_readings AS (
    SELECT
        h.org_id,
        h.crm,
        sum(h.session_records) AS records,
        sum(h.conflicts_opened) AS opened,
        sum(h.conflicts_resolved) AS resolved,
        sum(h.conflicts_settled) AS settled
    FROM read_hours AS h
    GROUP BY h.org_id, h.crm
),

true_conflicts AS (
    SELECT
        f.org_id,
        f.crm,
        count(*) AS opened,
        count(*) FILTER (WHERE f.state = 'RESOLVED') AS resolved,
        count(*) FILTER (WHERE f.state = 'SETTLED') AS settled
    FROM conflicts AS f
    GROUP BY f.org_id, f.crm
),

true_readings AS (
    SELECT
        s.org_id,
        s.crm,
        sum(
            s.pulled_created + s.pulled_updated + s.pulled_unchanged + s.pulled_conflicts
            + s.pulled_deleted + s.pulled_skipped + s.pulled_errors
        ) AS records
    FROM sessions AS s
    GROUP BY s.org_id, s.crm
),

records AS (
    SELECT
        r.org_id,
        r.session_id,
        count(*) FILTER (WHERE r.action = 'CREATED') AS created,
        count(*) FILTER (WHERE r.action = 'UPDATED') AS updated,
        count(*) FILTER (WHERE r.action = 'UNCHANGED') AS unchanged,
        count(*) FILTER (WHERE r.action = 'CONFLICT') AS conflicts,
        count(*) FILTER (WHERE r.action = 'DELETED') AS deleted,
        count(*) FILTER (WHERE r.action = 'SKIPPED') AS skipped,
        count(*) FILTER (WHERE r.action = 'ERROR') AS errors
    FROM session_records AS r
    WHERE r.direction = 'PULL'
    GROUP BY r.org_id, r.session_id
),

disputed AS (
    SELECT
        f.org_id, f.contact_id, f.crm,
        (
            SELECT array_agg(e.field ->> 'field' ORDER BY e.field ->> 'field' COLLATE "C")
            FROM jsonb_array_elements(f.fields) AS e (field)
        ) AS fields
    FROM conflicts AS f
    WHERE f.state = 'OPEN'
),

true_leads AS (
    SELECT
        l.org_id,
        l.crm,
        count(*) AS leads,
        count(*) FILTER (WHERE l.sync_time IS NOT NULL) AS synced,
        count(*) FILTER (WHERE l.conversion_time IS NOT NULL) AS conversions
    FROM leads AS l
    GROUP BY l.org_id, l.crm
),

true_statuses AS (
    SELECT l.org_id, l.crm, l.status_code, count(*) AS leads
    FROM leads AS l
    WHERE l.sync_time IS NOT NULL
    GROUP BY l.org_id, l.crm, l.status_code
),

lead_changes AS (
    SELECT
        h.org_id,
        h.lead_id,
        count(*) AS changes,
        max(h.sequence) AS newest,
        count(*) FILTER (WHERE h.conversion) AS conversions
    FROM lead_history AS h
    GROUP BY h.org_id, h.lead_id
),

seen_conversions AS (
    SELECT h.org_id, h.session_id, count(*) AS conversions
    FROM lead_history AS h
    WHERE h.conversion AND h.session_id IS NOT NULL
    GROUP BY h.org_id, h.session_id
)


SELECT 'a session counts what its items are' AS promise, s.org_id, CAST(s.id AS text) AS subject
FROM sessions AS s
LEFT JOIN items AS i ON i.org_id = s.org_id AND i.session_id = s.id
WHERE (s.total, s.synced, s.skipped, s.errors, s.cancelled) IS DISTINCT FROM (
        coalesce(i.total, 0),
        coalesce(i.synced, 0),
        coalesce(i.skipped, 0),
        coalesce(i.errors, 0),
        coalesce(i.cancelled, 0)
    )

UNION ALL

SELECT
    'an item without an outcome is being worked on', si.org_id, concat_ws('/', si.contact_id, si.crm)
FROM session_items AS si
LEFT JOIN contact_syncs AS cs
    ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
WHERE si.outcome IS NULL
    AND (
        cs.contact_id IS NULL
        OR cs.sync_status NOT IN ('QUEUED', 'PROCESSING')
        OR si.min_attempt > cs.attempt + 1
        OR (
            cs.sync_status = 'PROCESSING'
            AND si.min_attempt > cs.attempt
            AND NOT cs.queued_again
        )
    )

UNION ALL

SELECT
    'an item without an outcome waits for an attempt to come', si.org_id,
    concat_ws('/', si.contact_id, si.crm)
FROM session_items AS si
INNER JOIN contact_syncs AS cs
    ON cs.org_id = si.org_id AND cs.contact_id = si.contact_id AND cs.crm = si.crm
WHERE si.outcome IS NULL AND si.min_attempt <= cs.settled_attempt

UNION ALL

SELECT 'the kept counts are the true ones', coalesce(k.org_id, t.org_id), coalesce(k.crm, t.crm)
FROM kept_counts AS k
FULL JOIN true_counts AS t ON t.org_id = k.org_id AND t.crm = k.crm
WHERE (
        coalesce(k.selected, 0),
        coalesce(k.open, 0),
        coalesce(k.complete, 0),
        coalesce(k.error, 0),
        coalesce(k.skipped, 0)
    ) IS DISTINCT FROM (
        coalesce(t.selected, 0),
        coalesce(t.open, 0),
        coalesce(t.complete, 0),
        coalesce(t.error, 0),
        coalesce(t.skipped, 0)
    )

UNION ALL

SELECT
    'every attempt is in the history, once', cs.org_id, concat_ws('/', cs.contact_id, cs.crm)
FROM contact_syncs AS cs
LEFT JOIN attempts AS a
    ON a.org_id = cs.org_id AND a.contact_id = cs.contact_id AND a.crm = cs.crm
WHERE coalesce(a.recorded, 0) <> coalesce(a.different, 0)
    OR coalesce(a.recorded, 0)
    <> cs.attempt - CASE cs.sync_status WHEN 'PROCESSING' THEN 1 ELSE 0 END

UNION ALL

SELECT 'the kept hours are the history', coalesce(k.org_id, t.org_id), coalesce(k.crm, t.crm)
FROM kept_hours AS k
FULL JOIN true_hours AS t ON t.org_id = k.org_id AND t.crm = k.crm
WHERE (coalesce(k.synced, 0), coalesce(k.skipped, 0), coalesce(k.recorded, 0)) IS DISTINCT FROM (
        coalesce(t.synced, 0), coalesce(t.skipped, 0), coalesce(t.recorded, 0)
    )

UNION ALL

SELECT 'a call is counted in its step', h.org_id, concat_ws('/', h.crm, h.hour, h.slot)
FROM sync_hours AS h
WHERE h.calls <> (SELECT coalesce(sum(u.calls), 0) FROM unnest(h.call_steps) AS u (calls))

UNION ALL

SELECT 'calls end no more attempts than there were', k.org_id, k.crm
FROM kept_hours AS k
WHERE k.unexplained > 0

UNION ALL

SELECT 'errors by code are all errors', k.org_id, k.crm
FROM kept_hours AS k
LEFT JOIN
    (SELECT c.org_id, c.crm, sum(c.errors) AS errors FROM kept_codes AS c GROUP BY c.org_id, c.crm)
        AS c
    ON c.org_id = k.org_id AND c.crm = k.crm
WHERE k.errors <> coalesce(c.errors, 0)

UNION ALL

SELECT
    'codes are counted as the history has them',
    coalesce(k.org_id, t.org_id),
    concat_ws('/', coalesce(k.crm, t.crm), coalesce(k.code, t.code))
FROM kept_codes AS k
FULL JOIN true_codes AS t ON t.org_id = k.org_id AND t.crm = k.crm AND t.code = k.code
WHERE coalesce(k.attempts, 0) <> coalesce(t.attempts, 0)

UNION ALL

SELECT
    'conflicts are counted as they open and end', coalesce(k.org_id, t.org_id), coalesce(k.crm, t.crm)
FROM kept_readings AS k
FULL JOIN true_conflicts AS t ON t.org_id = k.org_id AND t.crm = k.crm
WHERE (coalesce(k.opened, 0), coalesce(k.resolved, 0), coalesce(k.settled, 0)) IS DISTINCT FROM (
        coalesce(t.opened, 0), coalesce(t.resolved, 0), coalesce(t.settled, 0)
    )

UNION ALL

-- Sessions are forgotten before the statistics are.
SELECT 'what sessions have read is counted', t.org_id, t.crm
FROM true_readings AS t
LEFT JOIN kept_readings AS k ON k.org_id = t.org_id AND k.crm = t.crm
WHERE t.records > coalesce(k.records, 0)

UNION ALL

SELECT
    'an item ends as its attempt did', si.org_id, concat_ws('/', si.contact_id, si.crm, si.attempt)
FROM session_items AS si
LEFT JOIN sync_attempts AS sa
    ON sa.org_id = si.org_id
        AND sa.contact_id = si.contact_id
        AND sa.crm = si.crm
        AND sa.attempt = si.attempt
WHERE si.outcome IN ('SYNCED', 'SKIPPED', 'ERROR')
    AND CASE si.outcome
        WHEN 'ERROR' THEN coalesce(sa.outcome IN ('SYNCED', 'SKIPPED', 'POSTPONED'), TRUE)
        ELSE sa.outcome IS DISTINCT FROM si.outcome
    END

UNION ALL

SELECT
    'what is complete was confirmed by the CRM', cs.org_id, concat_ws('/', cs.contact_id, cs.crm)
FROM contact_syncs AS cs
WHERE cs.sync_status = 'COMPLETE'
    AND (cs.synced_time IS NULL OR cs.synced_hash IS NULL OR cs.crm_contact_id IS NULL)

UNION ALL

SELECT
    'what is held is held under a ticket', cs.org_id, concat_ws('/', cs.contact_id, cs.crm)
FROM contact_syncs AS cs
LEFT JOIN tickets AS t ON t.org_id = cs.org_id AND t.crm = cs.crm AND t.ticket = cs.ticket
WHERE cs.ticket IS NOT NULL AND t.ticket IS NULL

UNION ALL

SELECT 'an item belongs to a session', i.org_id, CAST(i.session_id AS text)
FROM items AS i
LEFT JOIN sessions AS s ON s.org_id = i.org_id AND s.id = i.session_id
WHERE s.id IS NULL

UNION ALL

SELECT 'a standing belongs to a contact', cs.org_id, concat_ws('/', cs.contact_id, cs.crm)
FROM contact_syncs AS cs
LEFT JOIN contacts AS c ON c.org_id = cs.org_id AND c.id = cs.contact_id
WHERE c.id IS NULL

UNION ALL

SELECT 'a session counts what its records became', s.org_id, CAST(s.id AS text)
FROM sessions AS s
LEFT JOIN records AS r ON r.org_id = s.org_id AND r.session_id = s.id
WHERE (
        s.pulled_created, s.pulled_updated, s.pulled_unchanged, s.pulled_conflicts,
        s.pulled_deleted, s.pulled_skipped, s.pulled_errors
    ) IS DISTINCT FROM (
        coalesce(r.created, 0),
        coalesce(r.updated, 0),
        coalesce(r.unchanged, 0),
        coalesce(r.conflicts, 0),
        coalesce(r.deleted, 0),
        coalesce(r.skipped, 0),
        coalesce(r.errors, 0)
    )

UNION ALL

SELECT
    'an open conflict is about the fields that are held back',
    coalesce(d.org_id, b.org_id),
    concat_ws('/', coalesce(d.contact_id, b.contact_id), coalesce(d.crm, b.crm))
FROM disputed AS d
FULL JOIN (SELECT * FROM sync_bases WHERE conflicted <> '{}') AS b
    ON b.org_id = d.org_id AND b.contact_id = d.contact_id AND b.crm = d.crm
WHERE d.fields IS DISTINCT FROM (
        SELECT array_agg(n.field ORDER BY n.field COLLATE "C")
        FROM unnest(b.conflicted) AS n (field)
    )

UNION ALL

SELECT
    'only of living contacts is known what was agreed on', b.org_id,
    concat_ws('/', b.contact_id, b.crm)
FROM sync_bases AS b
LEFT JOIN contacts AS c ON c.org_id = b.org_id AND c.id = b.contact_id
WHERE c.id IS NULL
    OR (c.delete_time IS NOT NULL AND (b.fields IS NOT NULL OR b.conflicted <> '{}'))

UNION ALL

SELECT
    'a record has one contact, which is linked to it', b.org_id,
    concat_ws('/', b.contact_id, b.crm)
FROM sync_bases AS b
LEFT JOIN contacts AS c ON c.org_id = b.org_id AND c.id = b.contact_id
LEFT JOIN contact_syncs AS cs
    ON cs.org_id = b.org_id AND cs.contact_id = b.contact_id AND cs.crm = b.crm
WHERE c.delete_time IS NULL
    -- A delivery may have made another record, and not written that down.
    AND b.synced_time IS NOT DISTINCT FROM cs.synced_time
    AND cs.crm_contact_id IS DISTINCT FROM b.crm_contact_id

UNION ALL

SELECT
    'a removal is asked for, under way or failed', cs.org_id, concat_ws('/', cs.contact_id, cs.crm)
FROM contact_syncs AS cs
WHERE cs.removing AND cs.sync_status NOT IN ('QUEUED', 'PROCESSING', 'ERROR')

UNION ALL

SELECT
    'an item ends as what it asked for: a delivery, or a removal', si.org_id,
    concat_ws('/', si.contact_id, si.crm, si.attempt)
FROM session_items AS si
INNER JOIN sync_attempts AS sa
    ON sa.org_id = si.org_id
        AND sa.contact_id = si.contact_id
        AND sa.crm = si.crm
        AND sa.attempt = si.attempt
WHERE si.outcome IN ('SYNCED', 'SKIPPED', 'ERROR') AND si.removing <> coalesce(sa.removal, FALSE)

UNION ALL

SELECT
    'the kept totals of leads are the true ones', coalesce(k.org_id, t.org_id),
    coalesce(k.crm, t.crm)
FROM lead_totals AS k
FULL JOIN true_leads AS t ON t.org_id = k.org_id AND t.crm = k.crm
WHERE (coalesce(k.leads, 0), coalesce(k.synced, 0), coalesce(k.conversions, 0)) IS DISTINCT FROM (
        coalesce(t.leads, 0), coalesce(t.synced, 0), coalesce(t.conversions, 0)
    )

UNION ALL

SELECT
    'the kept counts of a status are the true ones', coalesce(k.org_id, t.org_id),
    concat_ws('/', coalesce(k.crm, t.crm), coalesce(k.status_code, t.status_code))
FROM lead_counts AS k
FULL JOIN true_statuses AS t
    ON t.org_id = k.org_id AND t.crm = k.crm AND t.status_code = k.status_code
WHERE coalesce(k.leads, 0) <> coalesce(t.leads, 0)

UNION ALL

SELECT 'every change of a lead is in its history, once', l.org_id, l.id
FROM leads AS l
LEFT JOIN lead_changes AS c ON c.org_id = l.org_id AND c.lead_id = l.id
WHERE l.changes <> coalesce(c.changes, 0) OR l.changes <> coalesce(c.newest, 0)

UNION ALL

SELECT 'a conversion is counted once', l.org_id, l.id
FROM leads AS l
LEFT JOIN lead_changes AS c ON c.org_id = l.org_id AND c.lead_id = l.id
WHERE coalesce(c.conversions, 0) <> CASE WHEN l.conversion_time IS NULL THEN 0 ELSE 1 END

UNION ALL

SELECT 'a session counts the conversions that it saw first', s.org_id, CAST(s.id AS text)
FROM sessions AS s
LEFT JOIN seen_conversions AS c ON c.org_id = s.org_id AND c.session_id = s.id
WHERE s.new_conversions <> coalesce(c.conversions, 0) OR s.conversions < s.new_conversions
