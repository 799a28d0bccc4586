-- Every ticket that waits, and when it is to be asked about; few rows at any time.
SELECT t.org_id, t.crm, t.ticket, t.check_time AS due_time
FROM tickets AS t
