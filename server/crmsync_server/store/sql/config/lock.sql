-- Lock what is configured for a CRM, for a change in this transaction; the defaults are a row from
-- then on.
INSERT INTO crm_configs AS g (org_id, crm)
VALUES (:org_id, :crm)
ON CONFLICT (org_id, crm) DO UPDATE SET crm = excluded.crm
RETURNING
    g.enabled, g.batch_size, g.concurrency, g.max_retries, g.custom_properties, g.mapping, g.merging,
    g.version
