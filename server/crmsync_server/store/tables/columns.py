"""The kinds of columns that tables share, and the check of an enumeration."""

from collections.abc import Iterable
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """Return the condition that a column holds one of these values."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def time(name: str, *, null: bool = False, default: bool = False) -> sa.Column[object]:
    """Return a column of moments; `default` is the start of the transaction."""
    server_default = sa.text("now()") if default else None
    return sa.Column(
        name, pg.TIMESTAMP(timezone=True), nullable=null, server_default=server_default
    )


def text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    """Return a column of text of any length."""
    return sa.Column(name, sa.Text, nullable=null, server_default=default)


def count(name: str) -> sa.Column[int]:
    """Return a column that counts up from 0."""
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def flag(name: str) -> sa.Column[bool]:
    """Return a column of booleans, false unless set."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))
