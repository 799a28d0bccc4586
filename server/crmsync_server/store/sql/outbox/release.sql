-- Put messages back that were marked and then not handed over.
UPDATE message_outbox AS o SET lease_end_time = NULL
WHERE o.org_id = :org_id
    AND o.message_id = ANY(CAST(:message_ids AS uuid []))
    AND o.lease_end_time IS NOT NULL
