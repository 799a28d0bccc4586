-- Forget which deleted contacts some records were linked to. See find.sql for how each is found.
WITH records AS MATERIALIZED (
    SELECT :org_id AS org_id, :crm AS crm, i.crm_contact_id
    FROM unnest(CAST(:crm_contact_ids AS text [])) AS i (crm_contact_id)
),

gone AS MATERIALIZED (
    SELECT b.org_id, b.contact_id, b.crm
    FROM records AS r
    CROSS JOIN LATERAL (
        SELECT s.org_id, s.contact_id, s.crm
        FROM sync_bases AS s
        WHERE s.org_id = r.org_id AND s.crm_contact_id = r.crm_contact_id AND s.crm = r.crm
        OFFSET 0
    ) AS b
    INNER JOIN contacts AS c ON c.org_id = b.org_id AND c.id = b.contact_id
    WHERE c.delete_time IS NOT NULL
)

DELETE FROM sync_bases AS b
USING gone AS g
WHERE b.org_id = g.org_id AND b.contact_id = g.contact_id AND b.crm = g.crm
