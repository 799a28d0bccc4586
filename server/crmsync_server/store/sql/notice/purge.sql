-- Forget notices that were seen to long ago, a bounded number at a time: CRMs send them again no more.
WITH old AS MATERIALIZED (
    SELECT n.org_id, n.crm, n.key
    FROM notices AS n
    WHERE n.done_time < now() - CAST(:age AS interval)
    ORDER BY n.done_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
)

DELETE FROM notices AS n
USING old AS o
WHERE n.org_id = o.org_id AND n.crm = o.crm AND n.key = o.key
