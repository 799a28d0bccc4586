-- Claim the next deliveries of one lane: HIGH first, then NORMAL, each in the order they are due.
-- Two plain ranges of contact_syncs_queue_idx instead of one sort over both priorities.
-- The contact is read in this same snapshot: claimed_version says exactly what is delivered, and
-- finish.sql notices an edit that commits later. Why org_id is joined and not given: see
-- finish.sql.
-- What is to be removed at the CRM has no hash: finish.sql then keeps none, and nothing else is told by it.
-- Whoever had it queued has asked for a record: that it was gone does not matter any more.
-- A lane whose quota is used up still delivers what is urgent: a share of the quota is kept for it.
-- The ids go through an array: the planner takes a LIMIT that it cannot foresee for a tenth of the
-- table, and would read all of it.
WITH paused AS (
    SELECT
        count(*) > 0 AS now,
        count(*) FILTER (WHERE l.probing OR l.pause_code <> 'QUOTA_EXHAUSTED') > 0 AS for_all
    FROM lanes AS l
    WHERE l.org_id = :org_id AND l.crm = :crm AND (l.paused_until > now() OR l.probing)
),

high AS MATERIALIZED (
    SELECT cs.contact_id
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.crm = :crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 2
        AND cs.due_time <= now()
        AND NOT (SELECT paused.for_all FROM paused)
    ORDER BY cs.due_time, cs.contact_id
    LIMIT :size
    FOR UPDATE SKIP LOCKED
),

normal AS MATERIALIZED (
    SELECT cs.contact_id
    FROM contact_syncs AS cs
    WHERE cs.org_id = :org_id
        AND cs.crm = :crm
        AND cs.processing_status = 'QUEUED'
        AND cs.priority = 1
        AND cs.due_time <= now()
        AND NOT (SELECT paused.now FROM paused)
        AND NOT :urgent_only
    ORDER BY cs.due_time, cs.contact_id
    LIMIT (SELECT CAST(:size AS bigint) - count(*) FROM high)
    FOR UPDATE SKIP LOCKED
),

due AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, d.contact_id
    FROM unnest(
        ARRAY(SELECT h.contact_id FROM high AS h) || ARRAY(SELECT n.contact_id FROM normal AS n)
    ) AS d (contact_id)
)

UPDATE contact_syncs AS cs SET
    previous_status = 'QUEUED',
    sync_status = 'PROCESSING',
    processing_status = 'PROCESSING',
    attempt = cs.attempt + 1,
    claim_time = now(),
    last_retry_time = CASE WHEN cs.retry_count > 0 THEN now() ELSE cs.last_retry_time END,
    next_retry_time = NULL,
    lease_until = now() + CAST(:lease AS interval),
    lease_owner = :owner,
    claimed_version = c.version,
    claimed_hash = CASE WHEN NOT cs.removing THEN c.content_hash || CAST(:salt AS bytea) END,
    queued_again = FALSE,
    gone_hash = NULL,
    update_time = now()
FROM due
INNER JOIN contacts AS c ON c.org_id = due.org_id AND c.id = due.contact_id
WHERE cs.org_id = due.org_id AND cs.contact_id = due.contact_id AND cs.crm = due.crm
RETURNING
    cs.contact_id,
    cs.attempt,
    cs.crm_contact_id,
    c.email,
    c.first_name,
    c.last_name,
    c.phone,
    c.company,
    c.tags,
    CAST(nullif(c.properties, '{}') AS text) AS properties,
    cs.retry_count,
    cs.rescue_count,
    NOT cs.force AND cs.synced_hash IS NOT DISTINCT FROM cs.claimed_hash AS unchanged,
    c.delete_time IS NOT NULL AS deleted,
    coalesce(cs.error_code IN ('UNKNOWN_OUTCOME', 'LEASE_EXPIRED'), FALSE) AS unsure,
    cs.priority = 2 AS urgent,
    cs.removing
