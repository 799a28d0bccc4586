-- How each of some CRMs stands now: its connection, its token, its lane, and what has waited for longest.
-- Every part is read by an index, from its first entry on, however much waits.
SELECT
    w.crm,
    now() AS now,
    k.id AS connection_id,
    k.health,
    k.health_reason,
    k.check_time,
    (
        SELECT t.expire_time FROM connection_tokens AS t
        WHERE t.org_id = k.org_id
            AND t.connection_id = k.id
            AND t.credentials_version = k.credentials_version
    ) AS token_expire_time,
    coalesce(l.paused_until > now() OR l.probing, FALSE) AS paused,
    CASE WHEN isfinite(l.paused_until) AND NOT l.probing THEN l.paused_until END AS resume_time,
    l.pause_code,
    l.pause_message,
    l.pauser,
    coalesce(l.pause_time, l.update_time) AS pause_time,
    (
        SELECT min(q.due_time)
        FROM unnest(ARRAY[1, 2]) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT cs.due_time FROM contact_syncs AS cs
            WHERE cs.org_id = :org_id
                AND cs.crm = w.crm
                AND cs.priority = p.priority
                AND cs.processing_status = 'QUEUED'
            ORDER BY cs.due_time
            LIMIT 1
        ) AS q
        WHERE q.due_time <= now()
    ) AS due_time,
    (
        SELECT n.due_time FROM notices AS n
        WHERE n.org_id = :org_id
            AND n.crm = w.crm
            AND n.done_time IS NULL
            AND n.due_time <= now()
        ORDER BY n.due_time
        LIMIT 1
    ) AS notice_due_time
FROM unnest(CAST(:crms AS text [])) AS w (crm)
LEFT JOIN connections AS k ON k.org_id = :org_id AND k.crm = w.crm
LEFT JOIN lanes AS l ON l.org_id = :org_id AND l.crm = w.crm
ORDER BY w.crm
