"""Email addresses as CRMs compare them."""

# Brevo invents addresses in this domain for contacts that only have a phone.
_INVENTED_DOMAIN = "@mailin-sms.com"


def deliverable(email: str) -> str:
    """Return the address trimmed and in lower case; empty when it is none to send out."""
    address = email.strip().lower()
    return "" if address.endswith(_INVENTED_DOMAIN) else address
