"""The rules by which callers think twice: they retry what failed, and cancel what is queued."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from crmsync_server.store import failure, standing
from crmsync_server.store.states import SyncStatus
from tests.store import people
from tests.sync.drive import Drive
from tests.sync.model import Key

_picks = st.integers(0, 99)
_OPEN = {SyncStatus.QUEUED, SyncStatus.PROCESSING}


class SecondThoughts(Drive):
    """What callers do to single contacts, and to whatever has failed."""

    @rule(pick=_picks, reset=st.booleans(), soon=st.booleans())
    @precondition(lambda self: self.model.standings)
    def retry(self, pick: int, *, reset: bool, soon: bool) -> None:
        """Retry one contact, whether it has failed or not."""
        org_id, contact_id, crm = key = self._any(pick)
        expected = [key] if self.model.standings[key].failed else []
        asked = failure.Retry(contact_id=contact_id, waits=_waits(reset=reset, soon=soon))
        self._retry(org_id, crm, asked, expected, due=reset or soon)

    @rule(pick=_picks, with_email=st.booleans(), reset=st.booleans(), soon=st.booleans())
    @precondition(lambda self: self.model.standings)
    def retry_all(self, pick: int, *, with_email: bool, reset: bool, soon: bool) -> None:
        """Retry whatever has failed in a lane, deleted contacts too, or who has an email."""
        org_id, _, crm = self._any(pick)
        expected = [
            key
            for key in self.model.failures(org_id, crm)
            if not with_email or key[1] not in self.without_email | self.deleted
        ]
        condition = failure.condition("email:*" if with_email else "", 5)
        asked = failure.Retry(condition=condition, waits=_waits(reset=reset, soon=soon))
        self._retry(org_id, crm, asked, expected, due=reset or soon)

    @rule(pick=_picks)
    @precondition(lambda self: self.model.standings)
    def cancel_contact(self, pick: int) -> None:
        """Take one contact out of a queue, if it is in it."""
        open_ones = [key for key, one in self.model.standings.items() if one.status in _OPEN]
        key = open_ones[pick % len(open_ones)] if open_ones and pick % 5 else self._any(pick)
        org_id, contact_id, crm = key
        moved = self.world.transaction(lambda c: standing.cancel(c, org_id, contact_id, crm))
        assert (moved is not None) == self.model.cancel_contact(key)

    def _retry(
        self, org_id: str, crm: str, asked: failure.Retry, expected: list[Key], *, due: bool
    ) -> None:
        order = people.order(crm)
        count = self.world.transaction(lambda c: failure.retry(c, org_id, asked, order))
        assert count == len(expected)
        self.model.retry(order.session_id, org_id, expected, due=due)

    def _any(self, pick: int) -> Key:
        keys = list(self.model.standings)
        return keys[pick % len(keys)]


def _waits(*, reset: bool, soon: bool) -> list[timedelta] | None:
    return None if reset else [timedelta(0 if soon else 3600)]
