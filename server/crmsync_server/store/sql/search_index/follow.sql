-- Make the terms of contacts that were written, some statements' worth, of all organizations; answer how
-- many of those there were, and whether more are being written. Two servers take different ones. Whoever
-- comes with an older version of a contact leaves the newer terms. Each contact is looked up by its key,
-- whatever the planner knows: asked for living ones alone, it took an index of those and read the whole
-- organization for each.
WITH oldest AS (
    SELECT
        u.org_id,
        u.id,
        u.contact_ids,
        u.create_time
    FROM unindexed_contacts AS u
    ORDER BY u.create_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
),

batch AS (
    SELECT o.org_id, o.id, o.contact_ids
    FROM (
        SELECT
            t.*,
            sum(cardinality(t.contact_ids)) OVER (ORDER BY t.create_time, t.id)
            - cardinality(t.contact_ids) AS contacts_before
        FROM oldest AS t
    ) AS o
    WHERE o.contacts_before < :contact_count
),

asked AS (
    SELECT DISTINCT
        b.org_id,
        i.contact_id
    FROM batch AS b
    CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
),

made AS (
    INSERT INTO contact_terms AS t (org_id, contact_id, version, terms)
    SELECT
        a.org_id,
        a.contact_id,
        c.version,
        c.terms
    FROM asked AS a
    CROSS JOIN LATERAL (
        SELECT
            c.delete_time,
            c.version,
            search_terms(
                c.org_id,
                concat_ws(' ', c.name, c.first_name, c.last_name, c.email, c.company),
                c.phone,
                c.tags,
                c.properties,
                c.domain_id
            ) AS terms
        FROM contacts AS c
        WHERE c.org_id = a.org_id AND c.id = a.contact_id
        LIMIT 1
    ) AS c
    WHERE c.delete_time IS NULL
    ORDER BY a.org_id, a.contact_id
    ON CONFLICT (org_id, contact_id) DO UPDATE SET
        version = excluded.version,
        terms = excluded.terms
    WHERE t.version < excluded.version
),

done AS (
    DELETE FROM unindexed_contacts AS u
    USING batch AS b
    WHERE u.org_id = b.org_id AND u.id = b.id
    RETURNING u.id
)

SELECT
    count(*) AS statement_count,
    coalesce(
        (SELECT max(u.create_time) FROM unindexed_contacts AS u) > now() - INTERVAL '1 second', FALSE
    ) AS busy
FROM done
