"""The HTTP listener: webhooks in, metrics and health out."""
