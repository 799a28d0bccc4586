-- Look at what the tables hold, so that the statements that follow are planned for it.
ANALYZE messages, conversations, correspondents, conversation_closings, message_statuses, whatsapp_ids
