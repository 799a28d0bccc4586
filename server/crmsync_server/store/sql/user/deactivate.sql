-- Deactivate the active users of one organization but for these.
UPDATE users AS u SET is_active = FALSE, version = u.version + 1, update_time = now()
WHERE u.org_id = :org_id
    AND u.is_active
    AND NOT EXISTS (
        SELECT FROM unnest(CAST(:named_ids AS uuid [])) AS n (id) WHERE n.id = u.id
    )
RETURNING u.id, u.external_id, u.email
