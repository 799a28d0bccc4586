"""What a field mapping may do to a value on its way to a CRM.

A text that is no phone number passes as it is, for CRMs take any; a date in another format than
the one expected is an error of its contact, for it could be taken for another day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import phonenumbers


class Transform(Protocol):
    """One step from a contact's value to a CRM's."""

    def apply(self, value: str) -> str:
        """Return the value changed; raises ValueError when it cannot be."""

    def spelled(self) -> Sequence[str]:
        """Return its name and its settings: two of equal spelling do the same."""


@dataclass(frozen=True, slots=True)
class Lower:
    """Lower case."""

    def apply(self, value: str) -> str:
        """Return the value in lower case."""
        return value.lower()

    def spelled(self) -> Sequence[str]:
        """Return its name."""
        return ("LOWER",)


@dataclass(frozen=True, slots=True)
class Upper:
    """Upper case."""

    def apply(self, value: str) -> str:
        """Return the value in upper case."""
        return value.upper()

    def spelled(self) -> Sequence[str]:
        """Return its name."""
        return ("UPPER",)


@dataclass(frozen=True, slots=True)
class Trim:
    """No white space at either end."""

    def apply(self, value: str) -> str:
        """Return the value without white space around it."""
        return value.strip()

    def spelled(self) -> Sequence[str]:
        """Return its name."""
        return ("TRIM",)


@dataclass(frozen=True, slots=True)
class E164:
    """Phone numbers as networks write them: `+302101234567`.

    region: two letters (ISO 3166) of the country whose numbers come without their country code;
        empty when all come with it.
    """

    region: str = ""

    def apply(self, value: str) -> str:
        """Return the number in E.164; what is no possible number as it is."""
        try:
            number = phonenumbers.parse(value, self.region or None)
        except phonenumbers.NumberParseException:
            return value
        if not phonenumbers.is_possible_number(number):
            return value
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def spelled(self) -> Sequence[str]:
        """Return its name and the region."""
        return ("E164", self.region)


@dataclass(frozen=True, slots=True)
class Date:
    """Dates, or dates with a time, written otherwise.

    reads: the format it comes in, as strptime takes it (`%d/%m/%Y`); empty means ISO 8601.
    writes: the format that the CRM wants, as strftime takes it.
    """

    reads: str
    writes: str

    def apply(self, value: str) -> str:
        """Return the date in the other format; raises ValueError when it is no such date."""
        try:
            return self._moment(value.strip()).strftime(self.writes)
        except ValueError as error:
            message = f"'{value}' is no date in the format {self.reads or 'ISO 8601'}"
            raise ValueError(message) from error

    def _moment(self, text: str) -> datetime:
        if not self.reads:
            return datetime.fromisoformat(text)
        # Without a zone in its format it is written without one: no zone is right or wrong.
        return datetime.strptime(text, self.reads)  # noqa: DTZ007

    def spelled(self) -> Sequence[str]:
        """Return its name and both formats."""
        return ("DATE", self.reads, self.writes)
