-- Open conflicts, or bring open ones up to date; answer those that are new or have changed. The contacts
-- are locked before.
WITH written AS (
    INSERT INTO conflicts AS f (
        org_id, id, contact_id, crm, crm_contact_id, state, fields, session_id, ours_time, theirs_time,
        transaction
    )
    SELECT
        :org_id, i.id, i.contact_id, :crm, i.crm_contact_id, 'OPEN', CAST(i.fields AS jsonb), :session_id,
        i.ours_time, i.theirs_time,
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint))
    FROM unnest(
        CAST(:ids AS uuid []),
        CAST(:contact_ids AS uuid []),
        CAST(:crm_contact_ids AS text []),
        CAST(:fields AS text []),
        CAST(:ours_times AS timestamptz []),
        CAST(:theirs_times AS timestamptz [])
    ) AS i (id, contact_id, crm_contact_id, fields, ours_time, theirs_time)
    ORDER BY i.contact_id
    ON CONFLICT (org_id, contact_id, crm) WHERE state = 'OPEN' DO UPDATE SET
        crm_contact_id = excluded.crm_contact_id,
        fields = excluded.fields,
        ours_time = excluded.ours_time,
        theirs_time = excluded.theirs_time,
        transaction = excluded.transaction,
        update_time = now()
    WHERE (f.crm_contact_id, f.fields, f.ours_time, f.theirs_time)
        IS DISTINCT FROM
        (excluded.crm_contact_id, excluded.fields, excluded.ours_time, excluded.theirs_time)
    RETURNING f.id
),

opened AS (
    INSERT INTO read_hours AS h (org_id, crm, hour, slot, conflicts_opened)
    SELECT
        :org_id, :crm, date_trunc('hour', now(), 'UTC'),
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)), count(*)
    FROM written AS w
    -- One that was open already has kept its id.
    WHERE w.id = ANY(CAST(:ids AS uuid []))
    HAVING count(*) > 0
    ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
        conflicts_opened = h.conflicts_opened + excluded.conflicts_opened
)

SELECT w.id FROM written AS w
