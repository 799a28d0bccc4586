-- How many attempts ended with which code, by CRM, the most frequent first.
SELECT
    e.crm,
    e.code,
    CAST(sum(e.attempts) AS bigint) AS attempts,
    CAST(sum(e.errors) AS bigint) AS errors
FROM error_hours AS e
WHERE e.org_id = :org_id
    AND e.crm = ANY(CAST(:crms AS text []))
    AND e.hour >= :start_time
    AND e.hour < :end_time
GROUP BY e.crm, e.code
ORDER BY 3 DESC, e.crm, e.code
