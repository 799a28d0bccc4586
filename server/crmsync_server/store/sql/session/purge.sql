-- Delete ended sessions past their retention, oldest first, a bounded number at a time.
DELETE FROM sessions AS s
USING (
    SELECT o.org_id, o.id
    FROM sessions AS o
    WHERE o.end_time < now() - make_interval(days => :days)
    ORDER BY o.end_time
    LIMIT :size
    FOR UPDATE SKIP LOCKED
) AS old
WHERE s.org_id = old.org_id AND s.id = old.id
