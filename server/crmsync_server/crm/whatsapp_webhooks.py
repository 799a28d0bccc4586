"""Whether Meta sent a webhook, and how its handshake is answered."""

import hashlib
import hmac
from collections.abc import Mapping

from crmsync_server.crm.webhook import Inbound

_SIGNATURE = "x-hub-signature-256"
_KIND = "sha256="


class Signatures:
    """What the secrets of one app vouch for."""

    def __init__(self, app_secret: str, verify_token: str) -> None:
        """Take the secrets; an empty one vouches for nothing."""
        self._app_secret = app_secret.strip()
        self._verify_token = verify_token.strip()

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether these very bytes were signed with the app's secret.

        Meta also signs by SHA-1, in another header, which is not looked at. It does not sign when.
        """
        digest = hmac.new(_bytes(self._app_secret), inbound.body, hashlib.sha256).hexdigest()
        given = inbound.headers.get(_SIGNATURE, "").strip()
        same = hmac.compare_digest(_bytes(given), _bytes(_KIND + digest))
        return same and bool(self._app_secret)

    def challenge(self, params: Mapping[str, str]) -> str | None:
        """Return the challenge, where it is asked with the token that we told Meta."""
        given = params.get("hub.verify_token", "")
        same = hmac.compare_digest(_bytes(given), _bytes(self._verify_token))
        if not (same and self._verify_token) or params.get("hub.mode") != "subscribe":
            return None
        return params.get("hub.challenge")


def _bytes(words: str) -> bytes:
    return words.encode(errors="backslashreplace")
