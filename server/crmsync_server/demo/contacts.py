"""The demo's contacts: a CSV file like those that people export, good and bad lines alike."""

import csv
from collections.abc import Iterator
from pathlib import Path
from random import Random

from crmsync.v1.contact_pb2 import Contact

COLUMNS = ("email", "first_name", "last_name", "phone", "company")
_FOLDED_EVERY = 40
_INVALID_EVERY = 250
_WITH_PHONE = 0.6
_WITH_COMPANY = 0.7
_WITHOUT_LAST_NAME = 0.08
_WITHOUT_NAMES = 0.04
_PLUS_ADDRESS = 0.15

_FIRST_NAMES = (
    *(
        "Ada",
        "José",
        "Zoë",
        "Łukasz",
        "Siobhán",
        "Jean-Luc",
        "Nguyễn",
        "Ольга",
        "محمد",
        "李",
        "Åsa",
    ),
    *(
        "Priya",
        "Björn",
        "İpek",
        "François",
        "Μαρία",
        "דנה",
        "さくら",
        "D'Arcy",
        "Mia 💚",
        "Max 🚀",
        "Ines",
    ),
)
_LAST_NAMES = (
    *("Lovelace", "García Márquez", "Müller", "O'Neill", "Nowak-Żak", "van den Berg", "Þórsdóttir"),
    *(
        "Иванова",
        "الخطيب",
        "王",
        "Okonkwo",
        "Singh",
        "Smith; Jones",
        "d'Ávila",
        "Çelik",
        "Tanaka 🌸",
    ),
)
_COMPANIES = (
    "Analytical Engines",
    "Café & Söhne",
    'The "Best" Ltd',
    "株式会社さくら",
    "Ωmega, Inc.",
)
_DOMAINS = ("example.com", "example.net", "mail.example.org", "xn--bcher-kva.example")
_INVALID_EMAILS = ("no-at-sign.example.com", "two@@example.com", "with space@example.com", "none@")


def write(path: Path, count: int, seed: int) -> None:
    """Write a file of so many lines below its header; the same seed writes the same file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS)
        lines.writeheader()
        lines.writerows(_lines(count, Random(seed)))  # noqa: S311 - repeatable, not secret


def read(path: Path) -> Iterator[Contact]:
    """Yield the contacts of a file, one a line."""
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            yield _contact(line)


def _contact(line: dict[str, str]) -> Contact:
    return Contact(
        email=line["email"],
        first_name=line["first_name"],
        last_name=line["last_name"],
        phone=line["phone"],
        company=line["company"],
    )


def _lines(count: int, random: Random) -> Iterator[dict[str, str]]:
    written: list[dict[str, str]] = []
    for number in range(1, count + 1):
        if number % _FOLDED_EVERY == 0:
            yield _same_person(random.choice(written), random)
        elif number % _INVALID_EVERY == 1:
            yield _person(number, random) | {"email": random.choice(_INVALID_EMAILS)}
        else:
            written.append(_person(number, random))
            yield written[-1]


def _person(number: int, random: Random) -> dict[str, str]:
    nameless = random.random()
    return {
        "email": _address(number, random),
        "first_name": "" if nameless < _WITHOUT_NAMES else random.choice(_FIRST_NAMES),
        "last_name": "" if nameless < _WITHOUT_LAST_NAME else random.choice(_LAST_NAMES),
        "phone": f"+4479{number:08d}" if random.random() < _WITH_PHONE else "",
        "company": random.choice(_COMPANIES) if random.random() < _WITH_COMPANY else "",
    }


def _address(number: int, random: Random) -> str:
    plus = f"+{random.choice(('news', 'crm', 'shop'))}" if random.random() < _PLUS_ADDRESS else ""
    return f"person.{number}{plus}@{random.choice(_DOMAINS)}"


def _same_person(before: dict[str, str], random: Random) -> dict[str, str]:
    """Return a line whose address differs by case only, half of the time with a new company."""
    company = random.choice((before["company"], random.choice(_COMPANIES)))
    name, _, domain = before["email"].partition("@")
    address = random.choice((f"{name.title()}@{domain}", f"{name}@{domain.upper()}"))
    return before | {"email": address, "company": company}
