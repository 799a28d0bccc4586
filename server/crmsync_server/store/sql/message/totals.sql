-- How many messages and contacts there are in all, summed over the days that are kept up.
SELECT
    coalesce(sum(d.sent), 0) AS sent,
    coalesce(sum(d.received), 0) AS received,
    coalesce(sum(d.new_contacts), 0) AS contacts
FROM message_days AS d
WHERE d.org_id = :org_id
