"""The only room that speaks to CRMs: one file per CRM behind the protocol in adapter.py."""
