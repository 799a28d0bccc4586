-- The contacts that have one of these emails, without regard to case.
SELECT c.*
FROM contacts AS c
WHERE c.org_id = :org_id
    AND c.email_key = ANY(CAST(:email_keys AS text []))
    AND c.delete_time IS NULL
