-- How one contact stands at every CRM that it was ever selected for; the contact alone when at none.
SELECT
    cs.*,
    c.email
FROM contacts AS c
LEFT JOIN contact_syncs AS cs ON cs.org_id = c.org_id AND cs.contact_id = c.id
WHERE c.org_id = :org_id AND c.id = :contact_id AND c.delete_time IS NULL
