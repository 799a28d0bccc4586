-- Write down what the CRM has in the fields that were in conflict: both sides have seen it, so that ours
-- differing from it is a change of ours alone. What else was agreed on stays known where it still holds.
-- Where the CRM lacks something, no content counts as what it has: neither what was delivered last nor
-- what a delivery under way brings, which left these fields out. The standings are locked before.
WITH told AS (
    UPDATE contact_syncs AS cs SET
        synced_hash = CASE WHEN cs.synced_hash IS NOT NULL THEN CAST('' AS bytea) END,
        claimed_hash = CASE cs.sync_status WHEN 'PROCESSING' THEN '' ELSE cs.claimed_hash END
    WHERE cs.org_id = :org_id
        AND cs.contact_id = :contact_id
        AND cs.crm = :crm
        AND :lacks
)

UPDATE sync_bases AS b SET
    fields = CASE
        WHEN b.synced_time IS NOT DISTINCT FROM cs.synced_time
            THEN coalesce(b.fields, '{}') || CAST(:fields AS jsonb)
        ELSE CAST(:fields AS jsonb)
    END,
    synced_time = cs.synced_time,
    conflicted = '{}',
    update_time = now()
FROM contact_syncs AS cs
WHERE b.org_id = :org_id
    AND b.contact_id = :contact_id
    AND b.crm = :crm
    AND cs.org_id = b.org_id
    AND cs.contact_id = b.contact_id
    AND cs.crm = b.crm
