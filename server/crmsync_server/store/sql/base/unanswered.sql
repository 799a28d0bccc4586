-- Note what attempts that nobody answered may have brought to the CRM, in the transaction that has just finished
-- them (finish.sql): only for attempts that it recorded, which is told by their times. A doubtful one is not the
-- first of which that is not known. The last few count: each that was the same as the one before is that one;
-- that something before them is not known stays.
-- Why org_id and crm travel with the rows: see finish.sql.
WITH input AS MATERIALIZED (
    SELECT
        :org_id AS org_id, :crm AS crm, i.contact_id, i.attempt,
        coalesce(CAST(i.fields AS jsonb), 'null') AS fields,
        CASE WHEN i.doubtful THEN CAST('[null]' AS jsonb) ELSE '[]' END AS before
    FROM unnest(
        CAST(:contact_ids AS uuid []),
        CAST(:attempts AS integer []),
        CAST(:fields AS text []),
        CAST(:doubts AS boolean [])
    ) AS i (contact_id, attempt, fields, doubtful)
)

UPDATE contact_syncs AS cs SET
    unsettled = CASE
        WHEN cs.unsettled -> -1 = i.fields THEN cs.unsettled
        ELSE (
            SELECT
                CASE
                    WHEN jsonb_array_length(a.attempts) > 8 AND a.attempts -> 0 = 'null'
                        THEN CAST('[null]' AS jsonb)
                            || jsonb_path_query_array(a.attempts, '$[last - 6 to last]')
                    ELSE jsonb_path_query_array(a.attempts, '$[last - 7 to last]')
                END
            FROM (
                SELECT coalesce(cs.unsettled, i.before) || jsonb_build_array(i.fields) AS attempts
            ) AS a
        )
    END
FROM input AS i
WHERE cs.org_id = i.org_id
    AND cs.contact_id = i.contact_id
    AND cs.crm = i.crm
    AND cs.attempt = i.attempt
    AND cs.lease_until IS NULL
    AND cs.update_time = now()
