-- Record what a batch of attempts ended in: standing, session items, sessions, history, counts and
-- hours move together or not at all. An attempt that is no longer the standing's own (its lease
-- expired and another took over) changes nothing.
--
-- `fenced` moves the standings first, each in one visit: whoever committed a moment ago, an edit, a
-- queueing or a cancel, made the row what the update then reads again. An edit that began before the
-- standing was made could not tell it: for that the contact's own version is read. One that commits
-- after this snapshot comes after this attempt, and finds the contact at rest. claimed_version and
-- lease_owner stay, for the history. Batches come in the order of their contacts' ids, the order in
-- which every other statement locks standings; so must the join find them, also where the planner
-- would rather read a small table as a whole: therefore the transaction goes by_index (db.py), and the
-- contacts are read for the input, not joined (OFFSET 0).
--
-- Attempts, statuses, outcomes and retry counts may come as one value each that all have in common:
-- they mostly do, and a value costs the driver 0.3 us to encode.
--
-- A removal that the CRM confirmed comes as SELECTED: the standing then knows of no record. An edit
-- does not bring it back, but whoever queued the contact meanwhile has asked for a new record. An item whose
-- session asked for the other of the two, and was overtaken by what was asked later, ends as CANCELLED.
--
-- Items are settled by min_attempt: whoever queued before this attempt was claimed committed before,
-- so its item is visible here; up to settled_before none is open any more. An attempt that goes back
-- to the queue ends the items of cancelled sessions, shared or not, and all of a cancelled standing;
-- what is cancelled is only visible here when the standings were locked before (lock.sql).
--
-- Times come by the server's :clock and are kept by the database's, the only one that all replicas
-- share: a pause must not be over for the database before it has begun.
--
-- :calls and what belongs to it are of the calls to the CRM that these attempts ended with, NULL without
-- any. An attempt that is not its standing's own any more counts as none of their records. Errors are added
-- up by code only where there are some: then alone the codes are given.
--
-- org_id and crm travel with the rows of a materialized CTE and are joined from there. As constants
-- they would be index conditions on their own, and before the first ANALYZE the planner takes a
-- whole organization for one row and scans it once for each record (measured: 600 ms, not 2).
-- For the same reason PROCESSING is told by its lease: the status would invite the planner to search
-- the lane's part of contact_syncs_lease_idx for each record, instead of the primary key.
WITH input AS MATERIALIZED (
    SELECT
        :org_id AS org_id, :crm AS crm,
        i.contact_id,
        coalesce(i.attempt, f.attempt) AS attempt,
        coalesce(i.status, f.status) AS status,
        coalesce(i.outcome, f.outcome) AS outcome,
        coalesce(i.retry_count, f.retry_count) AS retry_count,
        coalesce(i.removal, FALSE) AS removal,
        i.crm_contact_id, i.error_code, i.error_message, i.request_id, i.skip_reason,
        coalesce(i.status, f.status) <> 'QUEUED' AS final,
        greatest(statement_timestamp() + (i.due_time - CAST(:clock AS timestamptz)), now()) AS due_time,
        c.version
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:attempts AS integer []),
        CAST(:statuses AS text []),
        CAST(:outcomes AS text []),
        CAST(:crm_contact_ids AS text []),
        CAST(:error_codes AS text []),
        CAST(:error_messages AS text []),
        CAST(:request_ids AS text []),
        CAST(:skip_reasons AS text []),
        CAST(:retry_counts AS integer []),
        CAST(:due_times AS timestamptz []),
        CAST(:removals AS boolean [])
    ) AS i (
        contact_id, attempt, status, outcome, crm_contact_id, error_code, error_message,
        request_id, skip_reason, retry_count, due_time, removal
    )
    CROSS JOIN (
        SELECT
            (CAST(:attempts AS integer [])) [1] AS attempt,
            (CAST(:statuses AS text [])) [1] AS status,
            (CAST(:outcomes AS text [])) [1] AS outcome,
            (CAST(:retry_counts AS integer [])) [1] AS retry_count
    ) AS f
    CROSS JOIN LATERAL (
        SELECT k.version
        FROM contacts AS k
        WHERE k.org_id = :org_id AND k.id = i.contact_id
        OFFSET 0
    ) AS c
),

fenced AS (
    UPDATE contact_syncs AS cs SET
        (
            sync_status, processing_status, priority, next_retry_time, retry_count, force, removing
        ) = (
            SELECT
                n.status,
                CASE n.status
                    WHEN 'SELECTED' THEN NULL
                    WHEN 'SKIPPED' THEN 'COMPLETE'
                    ELSE n.status
                END,
                CASE n.status WHEN 'QUEUED' THEN cs.priority ELSE 1 END,
                CASE WHEN n.status = 'QUEUED' AND NOT i.final THEN i.due_time END,
                CASE WHEN i.final AND n.status = 'QUEUED' THEN 0 ELSE i.retry_count END,
                cs.force AND n.status = 'QUEUED' AND (cs.queued_again OR NOT i.final),
                CASE n.status WHEN 'QUEUED' THEN cs.removing WHEN 'ERROR' THEN i.removal ELSE FALSE END
            FROM (
                SELECT
                    CASE
                        WHEN NOT i.final THEN
                            CASE WHEN cs.cancel_requested THEN 'SELECTED' ELSE 'QUEUED' END
                        WHEN
                            (
                                cs.queued_again
                                OR (
                                    NOT i.removal
                                    AND greatest(cs.wanted_version, i.version) > cs.claimed_version
                                )
                            )
                            AND NOT cs.cancel_requested
                            THEN 'QUEUED'
                        ELSE i.status
                    END AS status
            ) AS n
        ),
        previous_status = 'PROCESSING',
        due_time = CASE WHEN i.final THEN now() ELSE i.due_time END,
        rescue_count =
            CASE i.outcome WHEN 'LEASE_EXPIRED' THEN cs.rescue_count + 1 ELSE cs.rescue_count END,
        error_code = i.error_code,
        error_message = i.error_message,
        error_request_id = i.request_id,
        skip_reason = i.skip_reason,
        crm_contact_id = CASE
            WHEN i.status <> 'SELECTED' THEN coalesce(i.crm_contact_id, cs.crm_contact_id)
        END,
        synced_time = CASE
            WHEN i.outcome <> 'SYNCED' THEN cs.synced_time
            WHEN NOT i.removal THEN now()
        END,
        -- After an attempt that may have been applied nobody knows what the CRM holds.
        synced_hash = CASE
            WHEN i.outcome = 'SYNCED' THEN cs.claimed_hash
            WHEN i.outcome NOT IN ('UNKNOWN', 'LEASE_EXPIRED') THEN cs.synced_hash
        END,
        unsettled = CASE
            WHEN i.outcome = 'SYNCED' THEN NULL
            WHEN i.outcome = 'LEASE_EXPIRED' AND NOT cs.unsettled @> '[null]' THEN cs.unsettled || '[null]'
            ELSE cs.unsettled
        END,
        claimed_hash = NULL,
        lease_until = NULL,
        ticket = NULL,
        queued_again = FALSE,
        cancel_requested = FALSE,
        settled_before = cs.settled_attempt,
        settled_attempt = CASE WHEN i.final THEN i.attempt ELSE cs.settled_attempt END,
        update_time = now()
    FROM input AS i
    WHERE cs.org_id = i.org_id
        AND cs.contact_id = i.contact_id
        AND cs.crm = i.crm
        AND cs.attempt = i.attempt
        AND cs.lease_until IS NOT NULL
    RETURNING
        i.*,
        cs.sync_status AS next_status,
        cs.claimed_version,
        cs.claim_time,
        cs.lease_owner,
        cs.settled_before
),

items AS (
    UPDATE session_items AS si SET
        outcome = CASE
            WHEN NOT f.final OR si.removing <> f.removal THEN 'CANCELLED'
            WHEN f.status IN ('COMPLETE', 'SELECTED') THEN 'SYNCED'
            ELSE f.status
        END,
        attempt = f.attempt,
        error_code = CASE
            WHEN f.final AND si.removing <> f.removal THEN 'OVERTAKEN' ELSE f.error_code
        END,
        error_message = f.error_message,
        skip_reason = f.skip_reason,
        end_time = now()
    FROM fenced AS f
    WHERE si.org_id = f.org_id
        AND si.contact_id = f.contact_id
        AND si.crm = f.crm
        AND si.min_attempt > f.settled_before
        AND si.outcome IS NULL
        AND CASE
            WHEN f.final THEN si.min_attempt <= f.attempt
            WHEN f.next_status = 'SELECTED' THEN TRUE
            ELSE (
                SELECT s.state FROM sessions AS s
                WHERE s.org_id = si.org_id AND s.id = si.session_id
            ) = 'CANCELLING'
        END
    RETURNING si.org_id, si.session_id, si.outcome
),

tallies AS MATERIALIZED (
    SELECT
        i.org_id,
        i.session_id,
        count(*) FILTER (WHERE i.outcome = 'SYNCED') AS synced,
        count(*) FILTER (WHERE i.outcome = 'SKIPPED') AS skipped,
        count(*) FILTER (WHERE i.outcome = 'ERROR') AS errors,
        count(*) FILTER (WHERE i.outcome = 'CANCELLED') AS cancelled,
        count(*) AS settled
    FROM items AS i
    GROUP BY i.org_id, i.session_id
),

history AS (
    INSERT INTO sync_attempts (
        org_id, contact_id, crm, attempt, start_time, end_time, outcome, contact_version,
        error_code, error_message, request_id, skip_reason, crm_contact_id, next_retry_time,
        lease_owner, transaction, removal
    )
    SELECT
        :org_id, f.contact_id, :crm, f.attempt, f.claim_time, now(), f.outcome, f.claimed_version,
        f.error_code, f.error_message, f.request_id, f.skip_reason, f.crm_contact_id,
        CASE WHEN NOT f.final THEN f.due_time END,
        f.lease_owner,
        -- Read once for the statement, not once for each row.
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        CASE WHEN f.removal THEN TRUE END
    FROM fenced AS f
    RETURNING contact_id
),

-- In the order of their ids: two batches that share two sessions must not wait for each other. And
-- last of all: what can be written before is, since every batch of a session waits for this lock.
locked AS MATERIALIZED (
    SELECT s.id
    FROM sessions AS s
    INNER JOIN tallies AS t ON s.org_id = t.org_id AND s.id = t.session_id
    WHERE (SELECT count(*) FROM fenced) = (SELECT count(*) FROM history)
    ORDER BY s.id
    FOR UPDATE OF s
),

moved AS (
    UPDATE sessions AS s SET
        synced = s.synced + t.synced,
        skipped = s.skipped + t.skipped,
        errors = s.errors + t.errors,
        cancelled = s.cancelled + t.cancelled,
        revision = s.revision + 1,
        update_time = now(),
        state = CASE
            WHEN s.synced + s.skipped + s.errors + s.cancelled + t.settled < s.total OR s.pulling
                THEN s.state
            WHEN s.state <> 'CANCELLING' THEN 'SUCCEEDED'
            WHEN s.error_code IS NULL THEN 'CANCELLED'
            ELSE 'FAILED'
        END,
        end_time = CASE
            WHEN
                s.synced + s.skipped + s.errors + s.cancelled + t.settled = s.total
                AND NOT s.pulling
                THEN now()
        END
    FROM tallies AS t
    INNER JOIN locked AS l ON t.session_id = l.id
    WHERE s.org_id = t.org_id AND s.id = t.session_id
    RETURNING s.id, s.end_time IS NOT NULL AS ended
),

counts AS (
    INSERT INTO sync_counts AS n (org_id, crm, slot, open, selected, complete, error, skipped)
    SELECT
        :org_id, :crm, :slot,
        -count(*) FILTER (WHERE f.next_status <> 'QUEUED'),
        count(*) FILTER (WHERE f.next_status = 'SELECTED'),
        count(*) FILTER (WHERE f.next_status = 'COMPLETE'),
        count(*) FILTER (WHERE f.next_status = 'ERROR'),
        count(*) FILTER (WHERE f.next_status = 'SKIPPED')
    FROM fenced AS f
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm, slot) DO UPDATE SET
        open = n.open + excluded.open,
        selected = n.selected + excluded.selected,
        complete = n.complete + excluded.complete,
        error = n.error + excluded.error,
        skipped = n.skipped + excluded.skipped
),

hours AS (
    INSERT INTO sync_hours AS h (
        org_id, crm, hour, slot, synced, skipped, rejected, postponed, retried, unknown, released,
        expired, errors, calls, call_records, call_seconds, call_steps
    )
    SELECT
        :org_id, :crm, date_trunc('hour', now(), 'UTC'), :slot,
        count(*) FILTER (WHERE f.outcome = 'SYNCED'),
        count(*) FILTER (WHERE f.outcome = 'SKIPPED'),
        count(*) FILTER (WHERE f.outcome = 'REJECTED'),
        count(*) FILTER (WHERE f.outcome = 'POSTPONED'),
        count(*) FILTER (WHERE f.outcome = 'RETRY'),
        count(*) FILTER (WHERE f.outcome = 'UNKNOWN'),
        count(*) FILTER (WHERE f.outcome = 'RELEASED'),
        count(*) FILTER (WHERE f.outcome = 'LEASE_EXPIRED'),
        count(*) FILTER (WHERE f.status = 'ERROR'),
        coalesce(CAST(:calls AS bigint), 0),
        greatest(coalesce(CAST(:call_records AS bigint), 0) - (CAST(:size AS bigint) - count(*)), 0),
        coalesce(CAST(:call_seconds AS double precision), 0),
        coalesce(CAST(:call_steps AS bigint []), '{}')
    FROM fenced AS f
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
        synced = h.synced + excluded.synced,
        skipped = h.skipped + excluded.skipped,
        rejected = h.rejected + excluded.rejected,
        postponed = h.postponed + excluded.postponed,
        retried = h.retried + excluded.retried,
        unknown = h.unknown + excluded.unknown,
        released = h.released + excluded.released,
        expired = h.expired + excluded.expired,
        errors = h.errors + excluded.errors,
        calls = h.calls + excluded.calls,
        call_records = h.call_records + excluded.call_records,
        call_seconds = h.call_seconds + excluded.call_seconds,
        call_steps = CASE excluded.call_steps
            WHEN '{}' THEN h.call_steps
            ELSE (
                SELECT array_agg(coalesce(u.kept, 0) + coalesce(u.added, 0) ORDER BY u.step)
                FROM
                    unnest(h.call_steps, excluded.call_steps)
                    WITH ORDINALITY AS u (kept, added, step)
            )
        END
),

-- In the order of their codes: two batches that have two codes in common must not wait for each other.
faults AS (
    INSERT INTO error_hours AS e (org_id, crm, hour, code, slot, attempts, errors)
    SELECT
        :org_id, :crm, date_trunc('hour', now(), 'UTC'), left(f.error_code, 100), :slot,
        count(*), count(*) FILTER (WHERE f.status = 'ERROR')
    FROM fenced AS f
    WHERE CAST(:error_codes AS text []) IS NOT NULL AND f.error_code IS NOT NULL
    GROUP BY left(f.error_code, 100)
    ORDER BY left(f.error_code, 100)
    ON CONFLICT (org_id, crm, hour, code, slot) DO UPDATE SET
        attempts = e.attempts + excluded.attempts,
        errors = e.errors + excluded.errors
)

SELECT
    (SELECT count(*) FROM fenced) AS finished,
    (SELECT count(*) FROM fenced AS f WHERE f.next_status = 'QUEUED') AS requeued,
    (SELECT array_agg(m.id) FROM moved AS m) AS session_ids,
    (SELECT array_agg(m.id) FROM moved AS m WHERE m.ended) AS ended_ids
