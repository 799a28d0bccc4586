-- The contacts that have one of these emails, without regard to case.
WITH wanted AS MATERIALIZED (
    SELECT :org_id AS org_id, i.email_key
    FROM unnest(CAST(:email_keys AS text [])) AS i (email_key)
)

SELECT c.*
FROM wanted AS w
INNER JOIN contacts AS c ON c.org_id = w.org_id AND c.email_key = w.email_key
WHERE c.delete_time IS NULL
