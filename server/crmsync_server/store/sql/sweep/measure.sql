-- How many linked records a session has found gone, of how many there are. Bases are looked up by their
-- records; see config/links.sql.
SELECT
    (
        SELECT count(b.contact_id)
        FROM session_records AS r
        LEFT JOIN LATERAL (
            SELECT s.contact_id
            FROM sync_bases AS s
            WHERE s.org_id = r.org_id AND s.crm_contact_id = r.key AND s.crm = :crm
            OFFSET 0
        ) AS b ON TRUE
        WHERE r.org_id = :org_id
            AND r.session_id = :session_id
            AND r.direction = 'PULL'
            AND r.action IS NULL
    ) AS gone,
    (SELECT count(*) FROM sync_bases AS b WHERE b.org_id = :org_id AND b.crm = :crm) AS linked
