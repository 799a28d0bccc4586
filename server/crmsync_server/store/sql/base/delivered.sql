-- Write down what deliveries agreed on, in the transaction that has just finished them (finish.sql): only
-- for attempts that it recorded, which is told by their times. What a delivery did not tell stays what it
-- was, as long as that held when the delivery was made up; otherwise it is not known any more.
-- A record that another contact is linked to stays that contact's: then nothing is known of this one.
-- Without fields nothing was sent because the CRM has it all: that is then the standing's.
-- Fields in conflict were left out, so that what was delivered is not all there is.
-- An empty echo parts those of one time from those before, by the CRM's clock: none of these comes back as of
-- that time.
-- Of a contact that was deleted meanwhile only the record is kept; a newer version was wanted then.
WITH recorded AS MATERIALIZED (
    SELECT
        :org_id AS org_id, :crm AS crm, i.contact_id, CAST(i.fields AS jsonb) AS fields,
        i.synced_before, i.modified_time, i.echo_before, i.echo, i.hash,
        cs.crm_contact_id, cs.synced_time, cs.sync_status,
        cs.wanted_version > cs.claimed_version AS outdated
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:attempts AS integer []),
        CAST(:fields AS text []),
        CAST(:synced_befores AS timestamptz []),
        CAST(:modified_times AS timestamptz []),
        CAST(:echoes_before AS bytea []),
        CAST(:echoes AS bytea []),
        CAST(:hashes AS bytea []),
        CAST(:checks AS boolean [])
    ) AS i (
        contact_id, attempt, fields, synced_before, modified_time, echo_before, echo, hash, checked
    )
    CROSS JOIN LATERAL (
        SELECT s.*
        FROM contact_syncs AS s
        WHERE s.org_id = :org_id AND s.contact_id = i.contact_id AND s.crm = :crm
        OFFSET 0
    ) AS cs
    WHERE cs.settled_attempt = i.attempt
        AND cs.update_time = now()
        AND (i.fields IS NULL OR cs.synced_time = now())
        AND (NOT i.checked OR cs.synced_hash IS NOT DISTINCT FROM i.hash)
),

told AS MATERIALIZED (
    SELECT
        r.*,
        r.outdated AND EXISTS (
            SELECT FROM contacts AS c
            WHERE c.org_id = r.org_id AND c.id = r.contact_id AND c.delete_time IS NOT NULL
        ) AS deleted
    FROM recorded AS r
    WHERE r.fields IS NOT NULL
),

-- Removed before others are added: what is added takes their place.
moved AS (
    DELETE FROM sync_bases AS b
    USING told AS t
    WHERE b.org_id = t.org_id
        AND b.contact_id = t.contact_id
        AND b.crm = t.crm
        AND b.crm_contact_id <> t.crm_contact_id
    RETURNING b.org_id, b.contact_id, b.crm
),

-- What was in conflict with the record before is not with the one that took its place.
settled AS (
    UPDATE conflicts AS f SET
        state = 'SETTLED',
        transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        update_time = now(),
        resolve_time = now()
    FROM moved AS m
    WHERE f.org_id = m.org_id
        AND f.contact_id = m.contact_id
        AND f.crm = m.crm
        AND f.state = 'OPEN'
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
),

kept AS (
    UPDATE sync_bases AS b SET
        fields = CASE
            WHEN t.deleted THEN NULL
            WHEN b.synced_time IS NOT DISTINCT FROM t.synced_before
                THEN coalesce(b.fields, '{}') || t.fields
            ELSE t.fields
        END,
        synced_time = t.synced_time,
        crm_modified_time = t.modified_time,
        echoes = (
            SELECT e.echoes[greatest(1, cardinality(e.echoes) - 15):]
            FROM (
                SELECT
                    b.echoes
                    || CASE
                        WHEN b.echoes[cardinality(b.echoes)] IS DISTINCT FROM t.echo_before
                            THEN array_remove(ARRAY[t.echo_before], NULL)
                    END
                    || CASE WHEN t.modified_time > b.crm_modified_time THEN ARRAY[CAST('' AS bytea)] END
                    || ARRAY[t.echo] AS echoes
            ) AS e
        ),
        update_time = now()
    FROM told AS t
    WHERE b.org_id = t.org_id
        AND b.contact_id = t.contact_id
        AND b.crm = t.crm
        AND b.crm_contact_id = t.crm_contact_id
    RETURNING b.contact_id, b.conflicted
),

added AS (
    INSERT INTO sync_bases (
        org_id, contact_id, crm, crm_contact_id, fields, synced_time, crm_modified_time, echoes
    )
    SELECT
        t.org_id, t.contact_id, t.crm, t.crm_contact_id,
        CASE WHEN NOT t.deleted THEN t.fields END,
        t.synced_time, t.modified_time, ARRAY[t.echo]
    FROM told AS t
    WHERE (SELECT count(*) FROM moved) >= 0
        AND NOT EXISTS (SELECT FROM kept AS k WHERE k.contact_id = t.contact_id)
    ON CONFLICT DO NOTHING
)

UPDATE contact_syncs AS cs SET synced_hash = n.hash, unsettled = NULL
FROM (
    SELECT r.org_id, r.crm, r.contact_id, r.hash
    FROM recorded AS r
    WHERE r.fields IS NULL AND r.sync_status = 'SKIPPED'
    UNION ALL
    SELECT t.org_id, t.crm, t.contact_id, CAST('' AS bytea)
    FROM told AS t
    INNER JOIN kept AS k ON t.contact_id = k.contact_id
    WHERE k.conflicted <> '{}'
) AS n
WHERE cs.org_id = n.org_id AND cs.contact_id = n.contact_id AND cs.crm = n.crm
