"""Webhooks as CRMs send them, and as others try to."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

BREVO_TOKEN = "a token that Brevo shows"
ZOHO_TOKEN = "a token that Zoho shows"
MAUTIC_SECRET = "a secret that Mautic signs with"

EVENT = {
    "eventId": 1,
    "subscriptionType": "contact.propertyChange",
    "objectId": 501,
    "occurredAt": 1_700_000_000_000,
    "propertyName": "firstname",
}


def hubspot(
    url: str, body: bytes | None = None, *, secret: str, age: float = 0.0
) -> tuple[bytes, dict[str, str]]:
    """Return a body and the headers that HubSpot signs it with; age: seconds ago."""
    body = json.dumps([EVENT]).encode() if body is None else body
    stamp = str(round((time.time() - age) * 1000))
    signed = b"POST" + url.encode() + body + stamp.encode()
    digest = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return body, {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": stamp,
    }


def older_hubspot(url: str, body: bytes, *, secret: str) -> list[Mapping[str, str]]:
    """Return the headers of the first two kinds of signature, which leave the time out."""
    stamp = str(round(time.time() * 1000))
    first = hashlib.sha256(secret.encode() + body).hexdigest()
    second = hashlib.sha256(secret.encode() + b"POST" + url.encode() + body).hexdigest()
    return [
        {
            "X-HubSpot-Signature": digest,
            "X-HubSpot-Signature-Version": version,
            "X-HubSpot-Request-Timestamp": stamp,
            **more,
        }
        for version, digest in (("v1", first), ("v2", second))
        for more in ({}, {"X-HubSpot-Signature-v3": digest})
    ]


def mautic(body: bytes, *, secret: str = MAUTIC_SECRET) -> dict[str, str]:
    """Return the header that Mautic signs a body with."""
    digest = hmac.digest(secret.encode(), body, hashlib.sha256)
    return {"Webhook-Signature": base64.b64encode(digest).decode()}
