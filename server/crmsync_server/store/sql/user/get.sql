-- One user, by whichever key is given.
SELECT u.*
FROM users AS u
WHERE u.org_id = :org_id
    AND (
        u.id = CAST(:id AS uuid)
        OR u.external_id = CAST(:external_id AS text)
        OR u.email_key = CAST(:email_key AS text)
    )
