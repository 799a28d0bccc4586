-- Say that nothing more will come to a session: it has ended if everything in it has.
UPDATE sessions AS s SET
    pulling = FALSE,
    revision = s.revision + 1,
    update_time = now(),
    state = CASE
        WHEN s.synced + s.skipped + s.errors + s.cancelled < s.total THEN s.state
        ELSE 'SUCCEEDED'
    END,
    end_time = CASE
        WHEN s.synced + s.skipped + s.errors + s.cancelled = s.total THEN now()
    END
WHERE s.org_id = :org_id AND s.id = :session_id AND s.pulling
RETURNING s.*
