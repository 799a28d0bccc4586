-- Give contacts the standing that reading their records found: with a hash they and their records agree
-- in everything, without one they differ, and an empty hash says so: no content has it. What is queued or
-- under way stays that, and what a delivery under way claims to have brought stays its own, but that it
-- is not everything. The contacts and their standings are locked before.
WITH moved AS (
    INSERT INTO contact_syncs AS cs (
        org_id, contact_id, crm, sync_status, processing_status, crm_contact_id, synced_time,
        synced_hash, unsettled
    )
    SELECT
        :org_id, i.contact_id, :crm,
        CASE WHEN i.synced_hash IS NULL THEN 'SELECTED' ELSE 'COMPLETE' END,
        CASE WHEN i.synced_hash IS NOT NULL THEN 'COMPLETE' END,
        i.crm_contact_id,
        CASE WHEN i.synced_hash IS NOT NULL THEN now() END,
        coalesce(i.synced_hash, ''),
        CAST(i.unsettled AS jsonb)
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:crm_contact_ids AS text []),
        CAST(:synced_hashes AS bytea []),
        CAST(:unsettled AS text [])
    ) AS i (contact_id, crm_contact_id, synced_hash, unsettled)
    ORDER BY i.contact_id
    ON CONFLICT (org_id, contact_id, crm) DO UPDATE SET
        previous_status = cs.sync_status,
        (
            sync_status, processing_status, error_code, error_message, error_request_id, skip_reason,
            retry_count, rescue_count
        ) = (
            SELECT
                n.status,
                CASE n.status
                    WHEN 'SELECTED' THEN NULL
                    WHEN 'SKIPPED' THEN 'COMPLETE'
                    ELSE n.status
                END,
                CASE WHEN NOT n.new THEN cs.error_code END,
                CASE WHEN NOT n.new THEN cs.error_message END,
                CASE WHEN NOT n.new THEN cs.error_request_id END,
                CASE WHEN NOT n.new THEN cs.skip_reason END,
                CASE WHEN n.new THEN 0 ELSE cs.retry_count END,
                CASE WHEN n.new THEN 0 ELSE cs.rescue_count END
            FROM (
                SELECT
                    CASE
                        WHEN cs.sync_status IN ('QUEUED', 'PROCESSING') THEN cs.sync_status
                        WHEN excluded.synced_hash <> '' THEN 'COMPLETE'
                        WHEN cs.sync_status = 'COMPLETE' THEN 'SELECTED'
                        ELSE cs.sync_status
                    END AS status,
                    cs.sync_status NOT IN ('QUEUED', 'PROCESSING')
                    AND excluded.synced_hash <> '' AS new
            ) AS n
        ),
        crm_contact_id = excluded.crm_contact_id,
        synced_time = CASE
            WHEN cs.sync_status = 'PROCESSING' THEN cs.synced_time
            ELSE coalesce(excluded.synced_time, cs.synced_time)
        END,
        synced_hash =
            CASE cs.sync_status WHEN 'PROCESSING' THEN cs.synced_hash ELSE excluded.synced_hash END,
        gone_hash = NULL,
        unsettled = CASE cs.sync_status WHEN 'PROCESSING' THEN cs.unsettled ELSE excluded.unsettled END,
        claimed_hash = CASE
            WHEN cs.claimed_hash IS NOT NULL AND excluded.synced_hash = '' THEN ''
            ELSE cs.claimed_hash
        END,
        update_time = now()
    RETURNING
        cs.sync_status AS status,
        -- A row that was made here has none: only the branch above writes it beside a hash.
        cs.previous_status AS before
)

INSERT INTO sync_counts AS n (org_id, crm, slot, selected, complete, error, skipped)
SELECT
    :org_id, :crm, :slot,
    count(*) FILTER (WHERE m.status = 'SELECTED')
    - count(*) FILTER (WHERE m.before = 'SELECTED'),
    count(*) FILTER (WHERE m.status = 'COMPLETE')
    - count(*) FILTER (WHERE m.before = 'COMPLETE'),
    count(*) FILTER (WHERE m.status = 'ERROR') - count(*) FILTER (WHERE m.before = 'ERROR'),
    count(*) FILTER (WHERE m.status = 'SKIPPED') - count(*) FILTER (WHERE m.before = 'SKIPPED')
FROM moved AS m
HAVING count(*) > 0
ON CONFLICT (org_id, crm, slot) DO UPDATE SET
    selected = n.selected + excluded.selected,
    complete = n.complete + excluded.complete,
    error = n.error + excluded.error,
    skipped = n.skipped + excluded.skipped
