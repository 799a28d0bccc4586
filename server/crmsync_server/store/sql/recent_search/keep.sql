-- Note down what a caller searched for, and forget the oldest of the caller's searches beyond so many.
WITH kept AS (
    INSERT INTO recent_searches AS r (org_id, caller, digest, text, filter, order_by)
    VALUES (:org_id, :caller, :digest, :text, :filter, :order_by)
    ON CONFLICT (org_id, caller, digest) DO UPDATE SET
        search_count = r.search_count + 1,
        search_time = now()
)

DELETE FROM recent_searches AS r
WHERE r.org_id = :org_id
    AND r.caller = :caller
    AND r.digest IN (
        SELECT o.digest
        FROM recent_searches AS o
        WHERE o.org_id = :org_id AND o.caller = :caller AND o.digest <> :digest
        ORDER BY o.search_time DESC
        OFFSET :others
    )
