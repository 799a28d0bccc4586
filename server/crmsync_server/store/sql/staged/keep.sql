-- Keep records that were read again, until they are taken in.
INSERT INTO session_records (org_id, session_id, direction, key, fields)
SELECT :org_id, :session_id, 'PULL', i.key, CAST(i.fields AS jsonb)
FROM unnest(CAST(:keys AS text []), CAST(:fields AS text [])) AS i (key, fields)
ON CONFLICT (org_id, session_id, direction, key) DO UPDATE SET fields = excluded.fields
