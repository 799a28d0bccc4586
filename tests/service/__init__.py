"""The whole server, from a client's call to a simulated CRM and back."""
