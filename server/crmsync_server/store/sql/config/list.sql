-- What is configured for some CRMs, defaults where nothing is, and the pause of each lane. A pause by
-- hand has no end.
SELECT
    w.crm,
    coalesce(g.enabled, TRUE) AS enabled,
    g.batch_size,
    g.concurrency,
    g.max_retries,
    coalesce(g.custom_properties, '[]') AS custom_properties,
    coalesce(g.mapping, '[]') AS mapping,
    coalesce(g.merging, '{}') AS merging,
    g.two_way_time IS NOT NULL AS two_way,
    coalesce(g.version, 0) AS version,
    CASE WHEN g.version > 0 THEN g.update_time END AS update_time,
    coalesce(l.paused_until > now() OR l.probing, FALSE) AS paused,
    CASE WHEN l.paused_until < 'infinity' AND NOT l.probing THEN l.paused_until END AS resume_time,
    CASE l.paused_until WHEN 'infinity' THEN l.pauser END AS pauser,
    l.pause_code,
    l.pause_message,
    coalesce(l.pause_time, l.update_time) AS pause_time
FROM unnest(CAST(:crms AS text [])) AS w (crm)
LEFT JOIN crm_configs AS g ON g.org_id = :org_id AND g.crm = w.crm
LEFT JOIN lanes AS l ON l.org_id = :org_id AND l.crm = w.crm
