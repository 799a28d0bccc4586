"""Taking secrets out of texts that somebody will read."""

from collections.abc import Iterable

_HIDDEN = "[hidden]"
_SHORTEST = 4  # hiding anything shorter would garble words that have nothing to do with it


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values, but for those of fewer than four characters."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _HIDDEN)
    return text
