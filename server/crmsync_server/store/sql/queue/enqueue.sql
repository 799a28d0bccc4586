-- Queue contacts for one CRM, open the session that follows them, or add them to the one that is open
-- and has none of them yet, and move the counts.
-- :removing asks for the records' removal at the CRM instead of a delivery, also of contacts that are
-- deleted here; whatever was asked last counts.
-- Either by id (:by_id) or everything that passes the filter; one branch of `eligible` never runs.
-- What has changed is what the CRM does not have, unless that was removed there and is as it was then.
-- previous_status is written by the conflict branch, so that a row which another transaction made
-- or moved meanwhile is still counted from where it really was.
WITH eligible AS (
    SELECT c.id, c.version
    FROM contacts AS c
    WHERE :by_id
        AND c.org_id = :org_id
        AND c.id = ANY(CAST(:contact_ids AS uuid []))
        AND (:removing OR c.delete_time IS NULL)
        AND (NOT :requires_email OR c.email IS NOT NULL)
    UNION ALL
    SELECT c.id, c.version
    FROM contacts AS c
    WHERE NOT :by_id
        AND c.org_id = :org_id
        AND c.delete_time IS NULL
        AND (NOT :requires_email OR c.email IS NOT NULL)
        AND (CAST(:has_email AS boolean) IS NULL OR (c.email IS NOT NULL) = :has_email)
        AND (CAST(:domain_id AS uuid) IS NULL OR c.domain_id = :domain_id)
        AND (
            NOT :not_already_synced
            OR NOT EXISTS (
                SELECT FROM contact_syncs AS done
                WHERE done.org_id = :org_id
                    AND done.contact_id = c.id
                    AND done.crm = :crm
                    AND done.synced_time IS NOT NULL
            )
        )
        AND (
            NOT :changed_only
            OR NOT EXISTS (
                SELECT FROM contact_syncs AS held
                WHERE held.org_id = :org_id
                    AND held.contact_id = c.id
                    AND held.crm = :crm
                    AND (
                        held.synced_hash = c.content_hash || CAST(:salt AS bytea)
                        OR (held.crm_contact_id IS NULL AND held.gone_hash = c.content_hash)
                    )
            )
        )
        AND TRUE /* narrowed */
    ORDER BY id
),

queued AS (
    INSERT INTO contact_syncs AS cs (
        org_id, contact_id, crm, sync_status, processing_status, priority,
        due_time, wanted_version, force, queued_by, removing
    )
    SELECT
        :org_id, e.id, :crm, 'QUEUED', 'QUEUED', :priority, now(), e.version, :force, :creator,
        :removing
    FROM eligible AS e
    ON CONFLICT (org_id, contact_id, crm) DO UPDATE SET
        previous_status = cs.sync_status,
        sync_status = CASE cs.sync_status WHEN 'PROCESSING' THEN 'PROCESSING' ELSE 'QUEUED' END,
        processing_status =
            CASE cs.sync_status WHEN 'PROCESSING' THEN 'PROCESSING' ELSE 'QUEUED' END,
        priority = CASE
            WHEN cs.sync_status IN ('QUEUED', 'PROCESSING')
                THEN greatest(cs.priority, excluded.priority)
            ELSE excluded.priority
        END,
        due_time = CASE cs.sync_status WHEN 'QUEUED' THEN least(cs.due_time, now()) ELSE now() END,
        retry_count = 0,
        rescue_count = 0,
        next_retry_time = NULL,
        error_code = NULL,
        error_message = NULL,
        error_request_id = NULL,
        skip_reason = NULL,
        wanted_version = greatest(cs.wanted_version, excluded.wanted_version),
        force = excluded.force OR (cs.force AND cs.sync_status IN ('QUEUED', 'PROCESSING')),
        queued_again = cs.sync_status = 'PROCESSING',
        cancel_requested = FALSE,
        queued_by = excluded.queued_by,
        removing = excluded.removing,
        update_time = now()
    RETURNING cs.contact_id, cs.attempt, cs.previous_status
),

session AS (
    INSERT INTO sessions AS s (org_id, id, kind, crm, state, total, creator, end_time)
    SELECT
        :org_id, :session_id, :kind, :crm,
        CASE count(*) WHEN 0 THEN 'SUCCEEDED' ELSE 'RUNNING' END,
        count(*), :creator,
        CASE count(*) WHEN 0 THEN now() END
    FROM queued
    ON CONFLICT (org_id, id) DO UPDATE SET
        total = s.total + excluded.total,
        revision = s.revision + 1,
        update_time = now()
    RETURNING (SELECT count(*) FROM queued) AS total
),

items AS (
    INSERT INTO session_items (org_id, session_id, contact_id, crm, min_attempt, removing)
    SELECT :org_id, :session_id, q.contact_id, :crm, q.attempt + 1, :removing
    FROM queued AS q
),

counts AS (
    INSERT INTO sync_counts AS n (org_id, crm, slot, open, selected, complete, error, skipped)
    SELECT
        :org_id, :crm, :slot,
        count(*) FILTER (
            WHERE q.previous_status IS NULL
                OR q.previous_status NOT IN ('QUEUED', 'PROCESSING')
        ),
        -count(*) FILTER (WHERE q.previous_status = 'SELECTED'),
        -count(*) FILTER (WHERE q.previous_status = 'COMPLETE'),
        -count(*) FILTER (WHERE q.previous_status = 'ERROR'),
        -count(*) FILTER (WHERE q.previous_status = 'SKIPPED')
    FROM queued AS q
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm, slot) DO UPDATE SET
        open = n.open + excluded.open,
        selected = n.selected + excluded.selected,
        complete = n.complete + excluded.complete,
        error = n.error + excluded.error,
        skipped = n.skipped + excluded.skipped
)

SELECT
    s.total AS queued_count,
    CASE WHEN :by_id THEN (SELECT array_agg(q.contact_id) FROM queued AS q) END AS queued_ids
FROM session AS s
