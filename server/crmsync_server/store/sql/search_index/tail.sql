-- The contacts that were written last and whose terms are not made yet, and how many there are of those in
-- all; a contact that was written twice counts twice.
SELECT
    ARRAY(
        SELECT i.contact_id
        FROM (
            SELECT u.contact_ids
            FROM unindexed_contacts AS u
            WHERE u.org_id = :org_id
            ORDER BY u.create_time DESC
            LIMIT :size
        ) AS n
        CROSS JOIN unnest(n.contact_ids) AS i (contact_id)
        LIMIT :size
    ) AS contact_ids,
    (
        SELECT coalesce(sum(cardinality(u.contact_ids)), 0)
        FROM unindexed_contacts AS u
        WHERE u.org_id = :org_id
    ) AS contact_count
