-- Fold the hours that are over into one row each: whoever reads a year reads a sixteenth of the rows.
-- Nobody writes to them any more, but for a transaction that has run for hours; its rows are folded next
-- time.
WITH over AS (
    DELETE FROM sync_hours AS h
    WHERE h.slot >= 0 AND h.hour < date_trunc('hour', now(), 'UTC') - interval '2 hours'
    RETURNING h.*
),

steps AS (
    SELECT s.org_id, s.crm, s.hour, array_agg(CAST(s.calls AS bigint) ORDER BY s.step) AS call_steps
    FROM (
        SELECT o.org_id, o.crm, o.hour, u.step, sum(u.calls) AS calls
        FROM over AS o
        CROSS JOIN unnest(o.call_steps) WITH ORDINALITY AS u (calls, step)
        GROUP BY o.org_id, o.crm, o.hour, u.step
    ) AS s
    GROUP BY s.org_id, s.crm, s.hour
)

INSERT INTO sync_hours AS h (
    org_id, crm, hour, slot, synced, skipped, rejected, postponed, retried, unknown, released, expired,
    errors, calls, call_records, call_seconds, call_steps
)
SELECT
    o.org_id, o.crm, o.hour, -1, sum(o.synced), sum(o.skipped), sum(o.rejected), sum(o.postponed),
    sum(o.retried), sum(o.unknown), sum(o.released), sum(o.expired), sum(o.errors), sum(o.calls),
    sum(o.call_records), sum(o.call_seconds),
    coalesce(
        (
            SELECT s.call_steps FROM steps AS s
            WHERE s.org_id = o.org_id AND s.crm = o.crm AND s.hour = o.hour
        ),
        '{}'
    )
FROM over AS o
GROUP BY o.org_id, o.crm, o.hour
ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
    synced = h.synced + excluded.synced,
    skipped = h.skipped + excluded.skipped,
    rejected = h.rejected + excluded.rejected,
    postponed = h.postponed + excluded.postponed,
    retried = h.retried + excluded.retried,
    unknown = h.unknown + excluded.unknown,
    released = h.released + excluded.released,
    expired = h.expired + excluded.expired,
    errors = h.errors + excluded.errors,
    calls = h.calls + excluded.calls,
    call_records = h.call_records + excluded.call_records,
    call_seconds = h.call_seconds + excluded.call_seconds,
    call_steps = coalesce(
        (
            SELECT array_agg(coalesce(u.kept, 0) + coalesce(u.added, 0) ORDER BY u.step)
            FROM unnest(h.call_steps, excluded.call_steps) WITH ORDINALITY AS u (kept, added, step)
        ),
        '{}'
    )
