-- End the open conflicts of contacts at a CRM: nothing of them is in conflict any more. The contacts are
-- locked before.
UPDATE conflicts AS f SET
    state = 'SETTLED',
    transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
    update_time = now(),
    resolve_time = now()
WHERE f.org_id = :org_id
    AND f.crm = :crm
    AND f.contact_id = ANY(CAST(:contact_ids AS uuid []))
    AND f.state = 'OPEN'
RETURNING f.id
