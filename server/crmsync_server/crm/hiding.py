"""Taking out of texts that somebody will read what nobody may read, or what cannot be kept."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

_HIDDEN = "[hidden]"
_SHORTEST = 4  # hiding anything shorter would garble words that have nothing to do with it
# Neither Postgres nor protobuf takes them; a CRM may well send them.
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values, but for those of fewer than four characters.

    A value is also found without the blanks around it, and as JSON, HTML and URLs spell it.
    """
    return without(text, forms(secrets))


def without(text: str, told: Iterable[str]) -> str:
    """Return a text without what `forms` returned."""
    for form in told:
        text = text.replace(form, _HIDDEN)
    return text


def renewed(told: str, before: str) -> str:
    """Return the secret that a reply told, or the one before.

    That is the same still where the reply has none, or repeats what was therefore taken out of it.
    """
    return before if not told or _HIDDEN in told else told


def forms(secrets: Iterable[str]) -> Sequence[str]:
    """Return the ways in which texts spell these values, the longest first; not the short ones."""
    found = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
    return sorted(found, key=len, reverse=True)


def keepable(text: str) -> str:
    """Return a text that can be stored and sent on: other signs replace what cannot."""
    return _UNKEEPABLE.sub("\ufffd", text)


def _forms(secret: str) -> Iterable[str]:
    bare = keepable(secret.strip())
    escaped = [json.dumps(bare, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    # PHP escapes slashes too.
    slashed = [one.replace("/", "\\/") for one in escaped]
    elsewhere = (html.escape(bare), quote(bare, safe=""), quote_plus(bare))
    return (secret, bare, *escaped, *slashed, *elsewhere)
