-- How many linked records a session has found gone, of how many there are.
SELECT
    (
        SELECT count(*)
        FROM session_records AS r
        INNER JOIN sync_bases AS b
            ON b.org_id = r.org_id AND b.crm = :crm AND b.crm_contact_id = r.key
        WHERE r.org_id = :org_id
            AND r.session_id = :session_id
            AND r.direction = 'PULL'
            AND r.action IS NULL
    ) AS gone,
    (SELECT count(*) FROM sync_bases AS b WHERE b.org_id = :org_id AND b.crm = :crm) AS linked
