"""Deliveries that nobody answered: what the CRM may have of them, until it shows what it has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crmsync_server.sync.canonical import Kind, Value, empty, same
from crmsync_server.sync.channels import read_fields

Slots = Mapping[str, Value]


class Doubt:
    """What such deliveries told since the last one that was confirmed, the newest last.

    None stands for one of which nobody knows what it told: its server is gone.
    """

    def __init__(
        self,
        documents: Sequence[Mapping[str, Any] | None],
        kind_at: Callable[[str], Kind],
        region: str,
    ) -> None:
        """Read what was written down of them."""
        self._told = [read_fields(one) for one in documents if one is not None]
        self.is_boundless = None in documents
        self._kind_at = kind_at
        self._region = region

    @property
    def newest(self) -> Slots:
        """What the last of them told, of which that is known."""
        return self._told[-1] if self._told else {}

    @property
    def slots(self) -> set[str]:
        """Whatever they told."""
        return {slot for one in self._told for slot in one}

    def is_about(self, slot: str, agreed: Slots) -> bool:
        """Tell whether the CRM may have something else in a slot than what was agreed on."""
        before = agreed.get(slot, "")
        return self.is_boundless or any(
            slot in one and not self._same(slot, one[slot], before) for one in self._told
        )

    def may_fill(self, slot: str) -> bool:
        """Tell whether one of them told a value of a slot."""
        return any(not empty(one.get(slot, "")) for one in self._told)

    def settled(self, agreed: Slots, shown: Slots) -> Slots:
        """Return what both sides last agreed on, now that the CRM shows what it has.

        What was agreed on before, and what one of them told, is no change of the CRM's: what is
        otherwise here came later. Of anything else nobody knows what it was a change of.
        """
        if not (self._told or self.is_boundless):
            return agreed
        certain = {slot: value for slot, value in agreed.items() if not self.is_about(slot, agreed)}
        said = (agreed, *self._told)
        ours = {
            slot: value
            for slot, value in shown.items()
            if any(self._same(slot, value, one[slot]) for one in said if slot in one)
        }
        return {**certain, **ours}

    def is_answered(self, shown: Slots) -> bool:
        """Tell whether the CRM shows what the newest one told.

        If it does not, that was not applied, or is shown late: the next delivery tells it again.
        """
        common = self.newest.keys() & shown.keys()
        return not self._told or (
            bool(common) and all(self._same(one, self.newest[one], shown[one]) for one in common)
        )

    def _same(self, slot: str, one: Value, other: Value) -> bool:
        return same(one, other, self._kind_at(slot), self._region)
