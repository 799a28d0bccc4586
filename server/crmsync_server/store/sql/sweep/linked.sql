-- How many contacts are linked to records of a CRM. They are looked up by their keys; see config/links.sql.
SELECT count(*) AS contacts
FROM sync_bases AS b
CROSS JOIN LATERAL (
    SELECT k.id
    FROM contacts AS k
    WHERE k.org_id = b.org_id AND k.id = b.contact_id AND k.delete_time IS NULL
    OFFSET 0
) AS c
WHERE b.org_id = :org_id AND b.crm = :crm
