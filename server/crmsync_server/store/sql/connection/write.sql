-- Give a locked connection its new values. :renewed says that its credentials are others now: nothing
-- is known of their health, and tokens that were had with the old ones are of no use.
UPDATE connections AS c SET
    display_name = :display_name,
    base_url = :base_url,
    options = CAST(:options AS jsonb),
    key_id = coalesce(CAST(:key_id AS text), c.key_id),
    version = c.version + 1,
    credentials_version = CASE WHEN :renewed THEN c.version + 1 ELSE c.credentials_version END,
    health = CASE WHEN :renewed THEN 'UNCHECKED' ELSE c.health END,
    health_reason = CASE WHEN :renewed THEN '' ELSE c.health_reason END,
    check_time = CASE WHEN :renewed THEN NULL ELSE c.check_time END,
    account_id = CASE WHEN :renewed THEN '' ELSE c.account_id END,
    update_time = now()
WHERE c.org_id = :org_id AND c.id = :connection_id
