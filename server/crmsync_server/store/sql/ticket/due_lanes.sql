-- Every lane with a ticket, and in how many seconds the first is to be asked about, a day at most: a
-- pause by hand has no end, and before Postgres 17 nothing can be subtracted from that. Few rows.
SELECT
    t.org_id,
    t.crm,
    extract(
        EPOCH FROM least(
            greatest(min(t.check_time), max(l.paused_until), now()), now() + INTERVAL '1 day'
        ) - now()
    ) AS wait_seconds
FROM tickets AS t
LEFT JOIN lanes AS l ON l.org_id = t.org_id AND l.crm = t.crm
GROUP BY t.org_id, t.crm
