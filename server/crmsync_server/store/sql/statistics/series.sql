-- The same for each hour, day or week (:period) that has anything, all CRMs together, oldest first.
WITH delivered AS (
    SELECT
        date_trunc(:period, h.hour, 'UTC') AS time,
        sum(h.synced) AS synced,
        sum(h.skipped) AS skipped,
        sum(h.errors) AS errors,
        sum(
            h.rejected + h.postponed + h.retried + h.unknown + h.released + h.expired - h.errors
        ) AS again,
        sum(h.retried + h.unknown) AS unanswered,
        sum(h.calls) AS calls,
        sum(h.call_records) AS call_records,
        sum(h.call_seconds) AS call_seconds
    FROM sync_hours AS h
    WHERE h.org_id = :org_id
        AND h.crm = ANY(CAST(:crms AS text []))
        AND h.hour >= :start_time
        AND h.hour < :end_time
    GROUP BY date_trunc(:period, h.hour, 'UTC')
),

read AS (
    SELECT
        date_trunc(:period, h.hour, 'UTC') AS time,
        sum(h.session_records) AS session_records,
        sum(h.notice_records) AS notice_records,
        sum(h.conflicts_opened) AS conflicts_opened,
        sum(h.conflicts_resolved) AS conflicts_resolved,
        sum(h.conflicts_settled) AS conflicts_settled
    FROM read_hours AS h
    WHERE h.org_id = :org_id
        AND h.crm = ANY(CAST(:crms AS text []))
        AND h.hour >= :start_time
        AND h.hour < :end_time
    GROUP BY date_trunc(:period, h.hour, 'UTC')
)

SELECT
    coalesce(d.time, r.time) AS time,
    CAST(coalesce(d.synced, 0) AS bigint) AS synced,
    CAST(coalesce(d.skipped, 0) AS bigint) AS skipped,
    CAST(coalesce(d.errors, 0) AS bigint) AS errors,
    CAST(coalesce(d.again, 0) AS bigint) AS again,
    CAST(coalesce(d.unanswered, 0) AS bigint) AS unanswered,
    CAST(coalesce(d.calls, 0) AS bigint) AS calls,
    CAST(coalesce(d.call_records, 0) AS bigint) AS call_records,
    coalesce(d.call_seconds, 0) AS call_seconds,
    CAST(coalesce(r.session_records, 0) AS bigint) AS session_records,
    CAST(coalesce(r.notice_records, 0) AS bigint) AS notice_records,
    CAST(coalesce(r.conflicts_opened, 0) AS bigint) AS conflicts_opened,
    CAST(coalesce(r.conflicts_resolved, 0) AS bigint) AS conflicts_resolved,
    CAST(coalesce(r.conflicts_settled, 0) AS bigint) AS conflicts_settled
FROM delivered AS d
FULL JOIN read AS r ON r.time = d.time
ORDER BY 1
