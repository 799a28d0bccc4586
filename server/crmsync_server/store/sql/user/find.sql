-- The users who have one of these external ids, or one of these emails; locked in the order of their
-- ids, so that two synchronizations do not wait for each other.
SELECT u.*
FROM users AS u
WHERE u.org_id = :org_id
    AND (
        u.external_id = ANY(CAST(:external_ids AS text []))
        OR u.email_key = ANY(CAST(:email_keys AS text []))
    )
ORDER BY u.id
FOR UPDATE
