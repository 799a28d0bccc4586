-- Whether a message is still being handed over by somebody who is gone.
SELECT o.message_id
FROM message_outbox AS o
WHERE o.org_id = :org_id AND o.message_id = :message_id AND o.lease_end_time < now()
FOR UPDATE
