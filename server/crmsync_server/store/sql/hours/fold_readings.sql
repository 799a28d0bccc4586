-- The same for readings, whose rows are one for each transaction until then.
WITH over AS (
    DELETE FROM read_hours AS h
    WHERE h.slot >= 0 AND h.hour < date_trunc('hour', now(), 'UTC') - interval '2 hours'
    RETURNING h.*
)

INSERT INTO read_hours AS h (
    org_id, crm, hour, slot, session_records, notice_records, conflicts_opened, conflicts_resolved,
    conflicts_settled
)
SELECT
    o.org_id, o.crm, o.hour, -1, sum(o.session_records), sum(o.notice_records),
    sum(o.conflicts_opened), sum(o.conflicts_resolved), sum(o.conflicts_settled)
FROM over AS o
GROUP BY o.org_id, o.crm, o.hour
ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
    session_records = h.session_records + excluded.session_records,
    notice_records = h.notice_records + excluded.notice_records,
    conflicts_opened = h.conflicts_opened + excluded.conflicts_opened,
    conflicts_resolved = h.conflicts_resolved + excluded.conflicts_resolved,
    conflicts_settled = h.conflicts_settled + excluded.conflicts_settled
