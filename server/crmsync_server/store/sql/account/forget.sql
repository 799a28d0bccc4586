-- Forget up to when a CRM was read, and what is left of records without a standing.
WITH bases AS (
    DELETE FROM sync_bases AS b WHERE b.org_id = :org_id AND b.crm = :crm
)

DELETE FROM watermarks AS w WHERE w.org_id = :org_id AND w.crm = :crm
