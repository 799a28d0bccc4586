-- Put a message into the outbox.
INSERT INTO message_outbox (org_id, message_id, phone_number_id, recipient, content)
VALUES (:org_id, :message_id, :phone_number_id, :recipient, CAST(:content AS jsonb))
