-- Note what was drawn from locked buckets, and what was learned of them. Each one's calls by slot are
-- an array in text: arrays of different lengths make no array of arrays.
UPDATE quotas AS q
SET
    arrival_time = to_timestamp(b.arrival),
    declared = b.declared,
    calls = b.calls,
    period = make_interval(secs => b.period),
    rate = b.rate,
    refused_time = to_timestamp(b.refused),
    blocked_until = to_timestamp(b.blocked_until),
    urgent_time = to_timestamp(b.urgent),
    reset_time = to_timestamp(b.reset),
    first_slot = b.first_slot,
    spent = CAST(b.spent AS bigint [])
FROM unnest(
    CAST(:buckets AS text []),
    CAST(:arrivals AS double precision []),
    CAST(:declared AS bigint []),
    CAST(:calls AS bigint []),
    CAST(:periods AS double precision []),
    CAST(:rates AS double precision []),
    CAST(:refused AS double precision []),
    CAST(:blocked AS double precision []),
    CAST(:urgent AS double precision []),
    CAST(:resets AS double precision []),
    CAST(:first_slots AS bigint []),
    CAST(:spent AS text [])
) AS b (
    bucket,
    arrival,
    declared,
    calls,
    period,
    rate,
    refused,
    blocked_until,
    urgent,
    reset,
    first_slot,
    spent
)
WHERE q.org_id = :org_id AND q.crm = :crm AND q.bucket = b.bucket
