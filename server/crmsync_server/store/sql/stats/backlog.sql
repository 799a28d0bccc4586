-- What an estimate needs: how much is open in a lane, how fast it goes, until when it is paused.
SELECT
    coalesce(sum(n.open), 0) AS open,
    (SELECT l.records_per_second FROM lanes AS l WHERE l.org_id = :org_id AND l.crm = :crm)
        AS records_per_second,
    (SELECT l.paused_until FROM lanes AS l WHERE l.org_id = :org_id AND l.crm = :crm)
        AS paused_until
FROM sync_counts AS n
WHERE n.org_id = :org_id AND n.crm = :crm
