-- Begin to note what is drawn from buckets; those that are known stay as they are.
INSERT INTO quotas (org_id, crm, bucket, arrival_time, declared, calls, period)
SELECT
    CAST(:org_id AS text),
    CAST(:crm AS text),
    b.bucket,
    to_timestamp(0),
    b.calls,
    b.calls,
    make_interval(secs => b.period)
FROM unnest(
    CAST(:buckets AS text []), CAST(:calls AS bigint []), CAST(:periods AS double precision [])
) AS b (bucket, calls, period)
ORDER BY b.bucket
ON CONFLICT (org_id, crm, bucket) DO NOTHING
