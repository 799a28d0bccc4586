-- Change what is configured for a CRM.
UPDATE crm_configs AS g SET
    enabled = :enabled,
    batch_size = :batch_size,
    concurrency = :concurrency,
    max_retries = :max_retries,
    custom_properties = CAST(:custom_properties AS jsonb),
    mapping = CAST(:mapping AS jsonb),
    merging = CAST(:merging AS jsonb),
    version = g.version + 1,
    update_time = now()
WHERE g.org_id = :org_id AND g.crm = :crm
