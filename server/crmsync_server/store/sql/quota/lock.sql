-- What the replicas have noted of some buckets, locked in one order for whoever notes more, and the
-- time by the database's clock once the locks are held.
WITH locked AS MATERIALIZED (
    SELECT q.*
    FROM quotas AS q
    WHERE q.org_id = :org_id AND q.crm = :crm AND q.bucket = ANY(CAST(:buckets AS text []))
    ORDER BY q.bucket
    FOR UPDATE
)

SELECT
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
FROM locked AS q
