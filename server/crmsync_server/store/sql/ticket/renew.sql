-- Keep a ticket from being asked about by another server while this one does.
UPDATE tickets SET check_time = now() + CAST(:lease AS interval)
WHERE org_id = :org_id AND crm = :crm AND ticket = :ticket
