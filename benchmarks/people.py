"""Contacts as a customer has them: names from many countries, a company, a phone, a few labels."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

_FIRST = (
    *("Aarav", "Ana", "Björk", "Chloé", "Dmitri", "Emeka", "Fatima", "Grace", "Håkon", "Ines"),
    *("Jürgen", "Kenji", "Leïla", "María", "Nguyễn", "Olu", "Priya", "Quentin", "Rosa", "Søren"),
)
_LAST = (
    *("Achebe", "Bergström", "Castro", "Dubois", "Eriksen", "Fernández", "García", "Haddad"),
    *("Ito", "Jensen", "Kowalski", "López", "Müller", "Nakamura", "Okafor", "Patel", "Rossi"),
)
_COMPANIES = ("Acme GmbH", "Blue Harbour Ltd", "Cobalt & Sons", "Delta Freight", "Écoles du Sud")
_TAGS = ("newsletter", "lead", "vip", "trade-fair", "partner")
_PLANS = ("free", "team", "business")


@dataclass(frozen=True, slots=True)
class Person:
    """One contact's fields, as an import brings them."""

    email: str
    first_name: str
    last_name: str
    phone: str
    company: str
    tags: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)


def people(count: int, seed: int = 1) -> Iterator[Person]:
    """Make so many people, every one with an email of their own; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - test data
    for number in range(count):
        yield Person(
            email=f"person.{number}+{chance.randrange(10_000)}@mail{number % 50}.example.com",
            first_name=chance.choice(_FIRST),
            last_name=chance.choice(_LAST),
            phone=f"+49{chance.randrange(10**9, 10**10)}",
            company=chance.choice(_COMPANIES),
            tags=chance.sample(_TAGS, chance.randrange(3)),
            properties={"plan": chance.choice(_PLANS), "city": "São Paulo"},
        )
