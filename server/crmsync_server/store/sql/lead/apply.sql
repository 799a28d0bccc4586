-- Take over what a CRM told of leads, each once. What differs goes into the history and moves the counts;
-- a first deposit counts as a conversion once ever. An answer that is older than one that was taken over,
-- by the CRM's own clock, changes nothing. Leads are locked in the order of their ids, then the counts.
WITH input AS MATERIALIZED (
    SELECT i.*
    FROM unnest(
        CAST(:ids AS text []),
        CAST(:crm_lead_ids AS text []),
        CAST(:status_codes AS integer []),
        CAST(:status_texts AS text []),
        CAST(:ftds AS boolean []),
        CAST(:tp_accounts AS text []),
        CAST(:currencies AS text []),
        CAST(:create_times AS timestamptz []),
        CAST(:modify_times AS timestamptz [])
    ) AS i (
        id, crm_lead_id, status_code, status_text, ftd_exists, tp_account, currency, crm_create_time,
        crm_modify_time
    )
),

before AS MATERIALIZED (
    SELECT l.*
    FROM leads AS l
    WHERE l.org_id = :org_id
        AND l.crm = :crm
        AND l.id IN (SELECT i.id FROM input AS i)
    ORDER BY l.id
    FOR UPDATE
),

decided AS MATERIALIZED (
    SELECT
        i.*,
        b.status_code AS previous_code,
        b.ftd_exists AS previous_ftd,
        b.sync_time IS NULL AS first,
        b.sync_time IS NULL
        OR (b.status_code, b.status_text, b.ftd_exists, b.tp_account)
        <> (i.status_code, i.status_text, i.ftd_exists, i.tp_account) AS differs,
        i.ftd_exists AND b.conversion_time IS NULL AS converts,
        coalesce(
            b.crm_lead_id = i.crm_lead_id AND i.crm_modify_time < b.crm_modify_time, FALSE
        ) AS stale
    FROM input AS i
    INNER JOIN before AS b ON i.id = b.id
),

written AS (
    UPDATE leads AS l SET
        registration = 'REGISTERED',
        registration_until = NULL,
        registration_error_code = NULL,
        registration_error_message = NULL,
        crm_lead_id = d.crm_lead_id,
        status_code = d.status_code,
        status_text = d.status_text,
        ftd_exists = d.ftd_exists,
        tp_account = d.tp_account,
        currency = d.currency,
        crm_create_time = coalesce(d.crm_create_time, l.crm_create_time),
        crm_modify_time = coalesce(d.crm_modify_time, l.crm_modify_time),
        changes = l.changes + CASE WHEN d.differs THEN 1 ELSE 0 END,
        conversion_time = CASE WHEN d.converts THEN now() ELSE l.conversion_time END,
        change_time = CASE WHEN d.differs THEN now() ELSE l.change_time END,
        sync_time = now(),
        update_time = CASE WHEN d.differs THEN now() ELSE l.update_time END
    FROM decided AS d
    WHERE l.org_id = :org_id AND l.id = d.id AND NOT d.stale
    RETURNING l.id, l.changes
),

told AS (
    INSERT INTO lead_history (
        org_id, lead_id, sequence, previous_status_code, status_code, status_text, ftd_exists,
        tp_account, conversion, session_id, crm_modify_time
    )
    SELECT
        :org_id, d.id, w.changes, d.previous_code, d.status_code, d.status_text, d.ftd_exists,
        d.tp_account, d.converts, CAST(:session_id AS uuid), d.crm_modify_time
    FROM decided AS d
    INNER JOIN written AS w ON d.id = w.id
    WHERE d.differs
),

moved AS (
    INSERT INTO lead_counts AS c (org_id, crm, status_code, leads)
    SELECT :org_id, :crm, t.code, sum(t.n)
    FROM (
        SELECT d.status_code AS code, 1 AS n
        FROM decided AS d
        WHERE NOT d.stale
        UNION ALL
        SELECT d.previous_code, -1
        FROM decided AS d
        WHERE NOT d.stale AND NOT d.first
    ) AS t
    GROUP BY t.code
    HAVING sum(t.n) <> 0
    ORDER BY t.code
    ON CONFLICT (org_id, crm, status_code) DO UPDATE SET leads = c.leads + excluded.leads
),

counted AS (
    INSERT INTO lead_totals AS t (org_id, crm, synced, conversions, last_sync_time)
    SELECT
        :org_id,
        :crm,
        count(*) FILTER (WHERE d.first),
        count(*) FILTER (WHERE d.converts),
        now()
    FROM decided AS d
    WHERE NOT d.stale
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm) DO UPDATE SET
        synced = t.synced + excluded.synced,
        conversions = t.conversions + excluded.conversions,
        last_sync_time = excluded.last_sync_time
)

SELECT
    d.id,
    d.differs AND NOT d.stale AS updated,
    CASE WHEN d.stale THEN d.previous_ftd ELSE d.ftd_exists END AS ftd_exists,
    d.converts AND NOT d.stale AS converted
FROM decided AS d
ORDER BY d.id
