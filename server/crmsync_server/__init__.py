"""crmsync's server: contacts in step with the CRMs an organization uses."""
