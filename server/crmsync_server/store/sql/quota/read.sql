-- What the replicas have noted of every bucket of some accounts, and the time by the database's clock.
SELECT
    q.org_id,
    q.crm,
    q.bucket,
    q.declared,
    q.calls,
    q.first_slot,
    q.spent,
    q.rate,
    CAST(extract(EPOCH FROM q.period) AS double precision) AS period,
    CAST(extract(EPOCH FROM q.arrival_time) AS double precision) AS arrival,
    CAST(extract(EPOCH FROM q.refused_time) AS double precision) AS refused,
    CAST(extract(EPOCH FROM q.blocked_until) AS double precision) AS blocked_until,
    CAST(extract(EPOCH FROM q.urgent_time) AS double precision) AS urgent,
    CAST(extract(EPOCH FROM q.reset_time) AS double precision) AS reset,
    CAST(extract(EPOCH FROM clock_timestamp()) AS double precision) AS now
FROM quotas AS q
INNER JOIN unnest(CAST(:org_ids AS text []), CAST(:crms AS text [])) AS w (org_id, crm)
    ON q.org_id = w.org_id AND q.crm = w.crm
