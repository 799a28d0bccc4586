-- Which contacts have these emails. Each is looked up by its key, whatever the planner knows: see
-- base/find.sql for why by the first one at or after it.
SELECT c.email_key, c.id
FROM unnest(CAST(:email_keys AS text [])) AS e (email_key)
CROSS JOIN LATERAL (
    SELECT k.id, k.email_key
    FROM contacts AS k
    WHERE k.org_id = :org_id AND k.email_key >= e.email_key AND k.delete_time IS NULL
    ORDER BY k.email_key
    LIMIT 1
) AS c
WHERE c.email_key = e.email_key
