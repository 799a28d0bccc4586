-- The watched sessions as they stand, whoever owns them; one statement however many watch.
SELECT s.*
FROM sessions AS s
INNER JOIN unnest(CAST(:org_ids AS text []), CAST(:session_ids AS uuid [])) AS w (org_id, id)
    ON s.org_id = w.org_id AND s.id = w.id
