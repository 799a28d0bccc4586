-- Note the contacts that queueing would take; see queue/enqueue.sql. One that the CRM has already would
-- be changed there, any other created. What was foreseen of one holds; see foresee.sql.
-- One whose record the reading found gone would be unlinked or deleted before.
INSERT INTO session_records AS r (
    org_id, session_id, direction, key, action, contact_id, contact_version
)
SELECT
    c.org_id,
    :session_id,
    'PUSH',
    CAST(c.id AS text),
    CASE WHEN cs.crm_contact_id IS NULL THEN 'CREATED' ELSE 'UPDATED' END,
    c.id,
    c.version
FROM contacts AS c
LEFT JOIN contact_syncs AS cs
    ON cs.org_id = c.org_id AND cs.contact_id = c.id AND cs.crm = :crm
WHERE c.org_id = :org_id
    AND c.delete_time IS NULL
    AND (NOT :by_id OR c.id = ANY(CAST(:contact_ids AS uuid [])))
    AND (NOT :requires_email OR c.email IS NOT NULL)
    AND (
        NOT :changed_only
        OR (
            cs.synced_hash IS DISTINCT FROM c.content_hash || CAST(:salt AS bytea)
            AND (cs.crm_contact_id IS NOT NULL OR cs.gone_hash IS DISTINCT FROM c.content_hash)
            AND c.id NOT IN (
                SELECT g.contact_id
                FROM session_records AS g
                WHERE g.org_id = :org_id
                    AND g.session_id = :session_id
                    AND g.direction = 'PULL'
                    AND g.action = 'DELETED'
                    AND g.contact_id IS NOT NULL
            )
        )
    )
    AND TRUE /* narrowed */
ON CONFLICT (org_id, session_id, direction, key) DO UPDATE SET action = 'UPDATED'
WHERE CAST(:force AS boolean) AND r.action = 'UNCHANGED'
