-- Note what there is not, once for each id, and count it in the session: a contact, by its id as the key; a
-- record; or the record of a contact, which was there once.
WITH noted AS (
    INSERT INTO session_records (
        org_id, session_id, direction, key, action, contact_id, error_code, error_message
    )
    SELECT
        :org_id, :session_id, 'PULL', k.key, 'ERROR', k.contact_id, 'NOT_FOUND',
        CASE
            WHEN k.contact_id IS NULL THEN 'no record has the id ' || k.key
            WHEN k.key = CAST(k.contact_id AS text) THEN 'no contact has the id ' || k.key
            ELSE 'the record ' || k.key || ', which its contact is linked to, is not there any more'
        END
    FROM unnest(CAST(:keys AS text []), CAST(:contact_ids AS uuid [])) AS k (key, contact_id)
    ORDER BY k.key
    ON CONFLICT (org_id, session_id, direction, key) DO NOTHING
    RETURNING key
)

UPDATE sessions AS s SET
    pulled_errors = s.pulled_errors + n.count,
    revision = s.revision + 1,
    update_time = now()
FROM (SELECT count(*) AS count FROM noted) AS n
WHERE s.org_id = :org_id AND s.id = :session_id AND n.count > 0
