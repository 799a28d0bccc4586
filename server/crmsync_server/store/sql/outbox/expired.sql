-- Messages of any organization that were being handed over by somebody who is gone.
SELECT o.org_id, o.message_id
FROM message_outbox AS o
WHERE o.lease_end_time < now()
ORDER BY o.lease_end_time
LIMIT :size
