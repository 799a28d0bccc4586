-- How much waits that webhooks told, over all organizations.
SELECT count(*) FROM whatsapp_inbox AS i WHERE i.done_time IS NULL
