-- How many contacts a session has found the records of gone. Those that were deleted here keep theirs, and
-- have nothing left to lose. Bases are looked up by their records; see config/links.sql.
SELECT count(*) AS contacts
FROM session_records AS r
CROSS JOIN LATERAL (
    SELECT s.contact_id
    FROM sync_bases AS s
    WHERE s.org_id = r.org_id AND s.crm_contact_id = r.key AND s.crm = :crm
    OFFSET 0
) AS b
CROSS JOIN LATERAL (
    SELECT k.id
    FROM contacts AS k
    WHERE k.org_id = r.org_id AND k.id = b.contact_id AND k.delete_time IS NULL
    OFFSET 0
) AS c
WHERE r.org_id = :org_id
    AND r.session_id = :session_id
    AND r.direction = 'PULL'
    AND r.action IS NULL
