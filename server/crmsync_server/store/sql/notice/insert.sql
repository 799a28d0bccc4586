-- Keep notices; those that are known already were sent again. In the order of their keys, so that
-- the same ones coming in twice at a time do not wait for each other in a circle.
INSERT INTO notices (org_id, crm, key, kind, crm_contact_id, email, due_time)
SELECT
    :org_id, :crm, n.key, n.kind, n.crm_contact_id, n.email, now() + CAST(:rest AS interval)
FROM unnest(
    CAST(:keys AS text []),
    CAST(:kinds AS text []),
    CAST(:crm_contact_ids AS text []),
    CAST(:emails AS text [])
) AS n (key, kind, crm_contact_id, email)
ORDER BY n.key
ON CONFLICT (org_id, crm, key) DO NOTHING
