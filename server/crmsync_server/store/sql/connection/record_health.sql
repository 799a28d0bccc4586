-- Keep what was found out about credentials, unless they were replaced meanwhile.
UPDATE connections AS c SET
    health = :health,
    health_reason = :reason,
    check_time = now(),
    account_id = CASE WHEN :account_id = '' THEN c.account_id ELSE :account_id END
WHERE c.org_id = :org_id
    AND c.crm = :crm
    AND (
        CAST(:credentials_version AS bigint) IS NULL
        OR c.credentials_version = :credentials_version
    )
