-- The contacts that have one of these emails, without regard to case.
SELECT c.*
FROM contacts_with_emails(:org_id, CAST(:email_keys AS text [])) AS w
CROSS JOIN LATERAL (
    SELECT k.*
    FROM contacts AS k
    WHERE k.org_id = :org_id AND k.id = w.contact_id AND k.delete_time IS NULL
    OFFSET 0
) AS c
