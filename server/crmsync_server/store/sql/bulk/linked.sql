-- The contacts that some records of a CRM are linked to. What was agreed on with a CRM that is read has an
-- index by records; for any other the lane's standings are looked through once, however many are asked
-- for: an index by records would have to be kept by every delivery, and few ask.
WITH known AS MATERIALIZED (
    SELECT b.crm_contact_id, b.contact_id
    FROM sync_bases AS b
    WHERE b.org_id = :org_id
        AND b.crm = :crm
        AND b.crm_contact_id = ANY(CAST(:crm_contact_ids AS text []))
),

wanted AS MATERIALIZED (
    SELECT i.crm_contact_id
    FROM unnest(CAST(:crm_contact_ids AS text [])) AS i (crm_contact_id)
    EXCEPT
    SELECT k.crm_contact_id FROM known AS k
),

-- Of several contacts that claim the same record the one that was delivered last has it.
delivered AS (
    SELECT DISTINCT ON (cs.crm_contact_id) cs.crm_contact_id, cs.contact_id
    FROM contact_syncs AS cs
    INNER JOIN wanted AS w ON w.crm_contact_id = cs.crm_contact_id
    WHERE cs.org_id = :org_id AND cs.crm = :crm
    ORDER BY cs.crm_contact_id, cs.synced_time DESC NULLS LAST, cs.contact_id
)

SELECT k.crm_contact_id, k.contact_id FROM known AS k
UNION ALL
SELECT d.crm_contact_id, d.contact_id FROM delivered AS d
