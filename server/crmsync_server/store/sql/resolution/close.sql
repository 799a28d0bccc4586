-- Write down what a locked conflict was resolved to, and by whom.
WITH resolved AS (
    UPDATE conflicts AS f SET
        state = 'RESOLVED',
        resolution = CAST(:results AS jsonb),
        resolver = :resolver,
        resolve_session_id = :session_id,
        transaction = (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
        update_time = now(),
        resolve_time = now()
    WHERE f.org_id = :org_id AND f.id = :conflict_id
    RETURNING f.*
),

counted AS (
    INSERT INTO read_hours AS h (org_id, crm, hour, slot, conflicts_resolved)
    SELECT
        s.org_id, s.crm, date_trunc('hour', now(), 'UTC'),
        (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)), count(*)
    FROM resolved AS s
    GROUP BY s.org_id, s.crm
    ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
        conflicts_resolved = h.conflicts_resolved + excluded.conflicts_resolved
)

SELECT s.* FROM resolved AS s
