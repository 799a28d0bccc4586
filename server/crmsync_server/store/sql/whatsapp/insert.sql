-- Keep what webhooks told, of any organizations; what is known already was sent again. In the order of
-- the keys, so that the same things coming in twice at a time do not wait for each other in a circle. What
-- can be seen already is not left to ON CONFLICT: that waits for whoever is working it off.
INSERT INTO whatsapp_inbox (org_id, key, change)
SELECT i.org_id, i.key, CAST(i.change AS jsonb)
FROM unnest(
    CAST(:org_ids AS text []), CAST(:keys AS bytea []), CAST(:changes AS text [])
) AS i (org_id, key, change)
WHERE (
        SELECT k.key FROM whatsapp_inbox AS k WHERE k.org_id = i.org_id AND k.key = i.key
    ) IS NULL
ORDER BY i.org_id, i.key
ON CONFLICT (org_id, key) DO NOTHING
RETURNING org_id, key
