-- The keys of the properties that the newest contacts have, the most frequent first.
SELECT
    k.key,
    count(*) AS contact_count
FROM (
    SELECT c.properties
    FROM contacts AS c
    WHERE c.org_id = :org_id AND c.delete_time IS NULL
    ORDER BY c.create_time DESC, c.id DESC
    LIMIT :sample
) AS n
CROSS JOIN jsonb_object_keys(n.properties) AS k (key)
GROUP BY k.key
ORDER BY contact_count DESC, k.key
LIMIT :size
