-- Queue failures of one CRM again, one or all, open the session that follows them and move the
-- counts, as enqueue.sql does. The failure of a deleted contact ends as skipped.
-- The error stays until the next attempt has ended, since what was sent and never answered is asked
-- about first; only what the credentials caused is forgotten, or it would still count as failed.
-- Why org_id travels with the rows: see finish.sql.
WITH listed AS MATERIALIZED (
    SELECT cs.org_id, cs.contact_id, cs.crm
    FROM contact_syncs AS cs
    WHERE CAST(:contact_id AS uuid) IS NOT NULL
        AND cs.org_id = :org_id
        AND cs.contact_id = :contact_id
        AND cs.crm = :crm
    UNION ALL
    SELECT cs.org_id, cs.contact_id, cs.crm
    FROM contact_syncs AS cs
    WHERE CAST(:contact_id AS uuid) IS NULL
        AND cs.org_id = :org_id
        AND cs.crm = :crm
        AND (
            cs.sync_status = 'ERROR'
            OR (cs.sync_status = 'QUEUED' AND cs.error_code = 'CREDENTIALS_REFUSED')
        )
),

-- In the order that every other statement locks them in; what has moved meanwhile is left out. By the
-- processing status: the sync status would invite the planner to search contact_syncs_failed_idx for
-- each record, instead of the primary key (measured before the first ANALYZE, 100,000 failures: 110 s,
-- not 2).
failed AS MATERIALIZED (
    SELECT cs.org_id, cs.contact_id, cs.crm
    FROM listed AS l
    INNER JOIN contact_syncs AS cs
        ON cs.org_id = l.org_id AND cs.contact_id = l.contact_id AND cs.crm = l.crm
    LEFT JOIN contacts AS c
        ON c.org_id = l.org_id AND c.id = l.contact_id AND c.delete_time IS NULL
    WHERE (
            cs.processing_status = 'ERROR'
            OR (cs.processing_status = 'QUEUED' AND cs.error_code = 'CREDENTIALS_REFUSED')
        )
        AND (NOT :requires_email OR c.id IS NULL OR c.email IS NOT NULL OR cs.removing)
        AND TRUE /* narrowed */
    ORDER BY cs.contact_id
    FOR UPDATE OF cs
),

queued AS (
    UPDATE contact_syncs AS cs SET
        (due_time, retry_count, next_retry_time) = (
            SELECT
                coalesce(w.due_time, now()),
                CASE WHEN :reset THEN 0 ELSE cs.retry_count + 1 END,
                w.due_time
            FROM (
                SELECT
                    now() + CASE WHEN NOT :reset THEN
                        (CAST(:waits AS interval []))[
                            least(cs.retry_count + 1, cardinality(CAST(:waits AS interval [])))
                        ]
                    END AS due_time
            ) AS w
        ),
        previous_status = cs.sync_status,
        sync_status = 'QUEUED',
        processing_status = 'QUEUED',
        rescue_count = 0,
        error_code = CASE cs.sync_status WHEN 'ERROR' THEN cs.error_code END,
        error_message = CASE cs.sync_status WHEN 'ERROR' THEN cs.error_message END,
        error_request_id = CASE cs.sync_status WHEN 'ERROR' THEN cs.error_request_id END,
        cancel_requested = FALSE,
        queued_by = :creator,
        update_time = now()
    FROM failed AS f
    WHERE cs.org_id = f.org_id AND cs.contact_id = f.contact_id AND cs.crm = f.crm
    RETURNING cs.contact_id, cs.attempt, cs.previous_status, cs.removing
),

session AS (
    INSERT INTO sessions (org_id, id, kind, crm, state, total, creator, end_time)
    SELECT
        :org_id, :session_id, :kind, :crm,
        CASE count(*) WHEN 0 THEN 'SUCCEEDED' ELSE 'RUNNING' END,
        count(*), :creator,
        CASE count(*) WHEN 0 THEN now() END
    FROM queued
    RETURNING total
),

items AS (
    INSERT INTO session_items (org_id, session_id, contact_id, crm, min_attempt, removing)
    SELECT :org_id, :session_id, q.contact_id, :crm, q.attempt + 1, q.removing
    FROM queued AS q
),

counts AS (
    INSERT INTO sync_counts AS n (org_id, crm, slot, open, error)
    SELECT :org_id, :crm, :slot, count(*), -count(*)
    FROM queued AS q
    WHERE q.previous_status = 'ERROR'
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm, slot) DO UPDATE SET
        open = n.open + excluded.open,
        error = n.error + excluded.error
)

SELECT s.total FROM session AS s
