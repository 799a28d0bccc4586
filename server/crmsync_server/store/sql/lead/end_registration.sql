-- Write down how a registration ended, while it is still that of the one who began it.
UPDATE leads AS l SET
    registration = :registration,
    registration_until = NULL,
    registration_error_code = CAST(:code AS text),
    registration_error_message = CAST(:message AS text),
    crm_lead_id = coalesce(CAST(:crm_lead_id AS text), l.crm_lead_id),
    update_time = now()
WHERE l.org_id = :org_id
    AND l.id = :id
    AND l.registration = 'REGISTERING'
    AND l.registration_attempt = :attempt
RETURNING l.*
