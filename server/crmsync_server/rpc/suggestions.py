"""Completing what a caller has begun to write."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import search_pb2 as pb

_WORD = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_PLAIN = str.maketrans(
    {**dict(zip("øłđðþı", "olddti", strict=True)), "ß": "ss", "æ": "ae", "œ": "oe"}
)


def suggestions(
    text: str, searches: Iterable[sa.Row[Any]], contacts: Iterable[sa.Row[Any]]
) -> Iterator[pb.Suggestion]:
    """Yield what begins as the text does, each once: earlier searches, and what contacts have.

    contacts: found by the text, the newest first.
    """
    begun = _folded(text.strip())
    told: set[str] = set()
    for one in (*_of_searches(begun, searches), *_of_contacts(_words(text), contacts)):
        key = _folded(one.text)
        if key not in told:
            told.add(key)
            yield one


def _of_searches(begun: str, searches: Iterable[sa.Row[Any]]) -> Iterator[pb.Suggestion]:
    for row in searches:
        if row.text and _folded(row.text).startswith(begun):
            yield pb.Suggestion(text=row.text, source=pb.SUGGESTION_SOURCE_RECENT_SEARCH)


def _of_contacts(asked: list[str], contacts: Iterable[sa.Row[Any]]) -> Iterator[pb.Suggestion]:
    for row in contacts:
        values = {
            pb.SUGGESTION_SOURCE_NAME: row.name,
            pb.SUGGESTION_SOURCE_EMAIL: row.email or "",
            pb.SUGGESTION_SOURCE_PHONE: row.phone,
            pb.SUGGESTION_SOURCE_COMPANY: row.company,
        }
        for source, value in values.items():
            if value and _completes(value, asked, is_phone=value == row.phone):
                yield pb.Suggestion(text=value, source=source, contact_id=str(row.id))


def _completes(value: str, asked: list[str], *, is_phone: bool) -> bool:
    """Return whether each word that was asked for begins a word of the value."""
    words = _words(value)
    if is_phone:
        digits = re.sub(r"\D", "", value)
        if "".join(asked).isdigit() and digits.startswith("".join(asked)):
            return True
    return all(any(word.startswith(one) for word in words) for one in asked)


def _words(text: str) -> list[str]:
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    """Return a text in lower case without accents, as search_folded() has it in the index."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return _ACCENTS.sub("", apart).translate(_PLAIN).lower()
