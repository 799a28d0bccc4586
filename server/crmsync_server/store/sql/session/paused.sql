-- Paused sessions with something pending, of any organization.
SELECT s.org_id, s.id
FROM sessions AS s
WHERE s.state = 'PAUSED'
    AND s.end_time IS NULL
    AND s.synced + s.skipped + s.errors + s.cancelled < s.total
