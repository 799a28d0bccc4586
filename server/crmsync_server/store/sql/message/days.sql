-- What is kept up of the days since one, newest first.
SELECT
    d.day, d.sent, d.received, d.new_contacts, d.last_contacts, d.answers,
    extract(EPOCH FROM d.response_time) AS response_seconds
FROM message_days AS d
WHERE d.org_id = :org_id AND d.day >= :since AND d.day <= :until
ORDER BY d.day DESC
