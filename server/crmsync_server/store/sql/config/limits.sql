-- The limits that servers keep to, as far as they have called: those that the CRMs told, or else those
-- that were declared.
SELECT q.crm, q.bucket, q.calls, q.period
FROM quotas AS q
WHERE q.org_id = :org_id AND q.crm = ANY(CAST(:crms AS text []))
