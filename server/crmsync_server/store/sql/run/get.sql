-- The runs of these sessions.
SELECT r.*
FROM session_runs AS r
INNER JOIN unnest(CAST(:org_ids AS text []), CAST(:session_ids AS uuid [])) AS w (org_id, id)
    ON r.org_id = w.org_id AND r.session_id = w.id
