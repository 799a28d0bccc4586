-- Note what a reading would leave to deliver to the records that it was made of. push.sql cannot
-- see that, since nothing of it is written.
INSERT INTO session_records AS r (
    org_id, session_id, direction, key, action, contact_id, contact_version
)
SELECT
    :org_id, :session_id, 'PUSH', CAST(i.contact_id AS text),
    CASE WHEN i.lacks THEN 'UPDATED' ELSE 'UNCHANGED' END, i.contact_id, i.version
FROM unnest(
    CAST(:contact_ids AS uuid []), CAST(:versions AS bigint []), CAST(:lacks AS boolean [])
) AS i (contact_id, version, lacks)
ORDER BY i.contact_id
ON CONFLICT (org_id, session_id, direction, key) DO UPDATE SET
    action = excluded.action,
    contact_version = excluded.contact_version
