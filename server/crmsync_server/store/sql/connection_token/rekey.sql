-- Put a re-encrypted token in place, if it is still the one it was taken from.
UPDATE connection_tokens AS t SET
    key_id = :key_id,
    access_token = :access_token,
    refresh_token = :refresh_token
WHERE t.org_id = :org_id
    AND t.connection_id = :connection_id
    AND t.credentials_version = :credentials_version
    AND t.renewals = :renewals
    AND t.key_id = :old_key_id
