-- Note what became of records that a session read, each counted once: of one that was read before the more
-- telling action stays. Without an action it seemed gone at the CRM, and waits for the end; whatever is
-- found out of such a one holds. Answers how much was counted, less what is not counted so any more.
-- The caller holds the session's run, so that nobody else notes its records. The session comes last: every
-- delivery of it waits for this lock.
WITH input AS MATERIALIZED (
    SELECT
        :org_id AS org_id,
        CAST(:session_id AS uuid) AS session_id,
        i.*,
        coalesce(array_position(
            ARRAY['UNCHANGED', 'SKIPPED', 'ERROR', 'UPDATED', 'CONFLICT', 'CREATED', '', 'DELETED'],
            coalesce(i.action, '')
        ), 0) AS weight
    FROM unnest(
        CAST(:keys AS text []),
        CAST(:actions AS text []),
        CAST(:contact_ids AS uuid []),
        CAST(:contact_versions AS bigint []),
        CAST(:fingerprints AS bytea []),
        CAST(:fields AS text []),
        CAST(:error_codes AS text []),
        CAST(:error_messages AS text [])
    ) AS i (
        key, action, contact_id, contact_version, fingerprint, fields, error_code, error_message
    )
),

before AS MATERIALIZED (
    SELECT r.key, r.action
    FROM input AS i
    CROSS JOIN LATERAL (
        SELECT s.key, s.action
        FROM session_records AS s
        WHERE s.org_id = i.org_id
            AND s.session_id = i.session_id
            AND s.direction = 'PULL'
            AND s.key = i.key
        OFFSET 0
    ) AS r
),

noted AS (
    INSERT INTO session_records AS r (
        org_id, session_id, direction, key, action, contact_id, contact_version, fingerprint, fields,
        error_code, error_message
    )
    SELECT
        i.org_id, i.session_id, 'PULL', i.key, i.action, i.contact_id, i.contact_version,
        i.fingerprint, CAST(i.fields AS jsonb), i.error_code, i.error_message
    FROM input AS i
    LEFT JOIN before AS b ON i.key = b.key
    WHERE b.key IS NULL
        OR b.action IS NULL
        OR i.weight > array_position(
            ARRAY['UNCHANGED', 'SKIPPED', 'ERROR', 'UPDATED', 'CONFLICT', 'CREATED', '', 'DELETED'],
            coalesce(b.action, '')
        )
    ON CONFLICT (org_id, session_id, direction, key) DO UPDATE SET
        action = excluded.action,
        contact_id = excluded.contact_id,
        contact_version = excluded.contact_version,
        fingerprint = excluded.fingerprint,
        fields = excluded.fields,
        error_code = excluded.error_code,
        error_message = excluded.error_message
    RETURNING r.key, r.action
),

tally AS MATERIALIZED (
    SELECT
        coalesce(sum(t.n) FILTER (WHERE t.action = 'CREATED'), 0) AS created,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'UPDATED'), 0) AS updated,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'UNCHANGED'), 0) AS unchanged,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'CONFLICT'), 0) AS conflicts,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'DELETED'), 0) AS deleted,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'SKIPPED'), 0) AS skipped,
        coalesce(sum(t.n) FILTER (WHERE t.action = 'ERROR'), 0) AS errors,
        count(*) AS moved
    FROM (
        SELECT n.action, 1 AS n FROM noted AS n
        UNION ALL
        SELECT b.action, -1 FROM before AS b
        INNER JOIN noted AS n ON b.key = n.key
    ) AS t
),

counted AS (
    UPDATE sessions AS s SET
        pulled_created = s.pulled_created + t.created,
        pulled_updated = s.pulled_updated + t.updated,
        pulled_unchanged = s.pulled_unchanged + t.unchanged,
        pulled_conflicts = s.pulled_conflicts + t.conflicts,
        pulled_deleted = s.pulled_deleted + t.deleted,
        pulled_skipped = s.pulled_skipped + t.skipped,
        pulled_errors = s.pulled_errors + t.errors,
        revision = s.revision + 1,
        update_time = now()
    FROM tally AS t
    WHERE s.org_id = :org_id AND s.id = :session_id AND t.moved > 0
    RETURNING
        s.org_id, s.crm,
        t.created + t.updated + t.unchanged + t.conflicts + t.deleted + t.skipped + t.errors AS records
),

hours AS (
    INSERT INTO read_hours AS h (org_id, crm, hour, slot, session_records)
    SELECT
        c.org_id, c.crm, date_trunc('hour', now(), 'UTC'),
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)), c.records
    FROM counted AS c
    ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
        session_records = h.session_records + excluded.session_records
)

SELECT
    CAST(t.created AS integer), CAST(t.updated AS integer), CAST(t.unchanged AS integer),
    CAST(t.conflicts AS integer), CAST(t.deleted AS integer), CAST(t.skipped AS integer),
    CAST(t.errors AS integer)
FROM tally AS t
