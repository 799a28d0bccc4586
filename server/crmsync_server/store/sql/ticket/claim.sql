-- Take one ticket that is due; until :lease from now no other server asks about it.
UPDATE tickets AS t SET check_time = now() + CAST(:lease AS interval)
WHERE (t.org_id, t.crm, t.ticket) = (
    SELECT d.org_id, d.crm, d.ticket
    FROM tickets AS d
    WHERE d.org_id = :org_id AND d.crm = :crm AND d.check_time <= now()
    ORDER BY d.check_time
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING t.ticket
