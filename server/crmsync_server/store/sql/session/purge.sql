-- Delete ended sessions past their retention with their items and records, oldest first, a bounded
-- number at a time.
WITH old AS MATERIALIZED (
    SELECT s.org_id, s.id
    FROM sessions AS s
    WHERE s.end_time < now() - make_interval(days => :days)
    ORDER BY s.end_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
),

items AS (
    DELETE FROM session_items AS si
    USING old AS o
    WHERE si.org_id = o.org_id AND si.session_id = o.id
),

records AS (
    DELETE FROM session_records AS sr
    USING old AS o
    WHERE sr.org_id = o.org_id AND sr.session_id = o.id
)

DELETE FROM sessions AS s
USING old AS o
WHERE s.org_id = o.org_id AND s.id = o.id
