-- How many calls took how long, by CRM: one count for each step of the histogram (response_times.py).
SELECT
    s.crm,
    array_agg(CAST(s.calls AS bigint) ORDER BY s.step) AS steps
FROM (
    SELECT h.crm, u.step, sum(u.calls) AS calls
    FROM sync_hours AS h
    CROSS JOIN unnest(h.call_steps) WITH ORDINALITY AS u (calls, step)
    WHERE h.org_id = :org_id
        AND h.crm = ANY(CAST(:crms AS text []))
        AND h.hour >= :start_time
        AND h.hour < :end_time
    GROUP BY h.crm, u.step
) AS s
GROUP BY s.crm
