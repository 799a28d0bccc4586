"""What may happen to contacts on both sides, step by step, and how such plays are made up."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hypothesis import strategies as st

from crmsync.v1 import crm_config_pb2
from tests.service.both_sides import Play
from tests.service.starting import BOTH, changes, full, manual
from tests.service.two_sides import Fields

LAG = 0.3  # seconds

_EMAILS = ("ada@example.com", "bob@example.com", "Cid@Example.com")
_VALUES = ("", "A", "B", " B  b ", "C")
_PHONES = ("", "+44 20 7183 8750", "+442071838751", "+44 (20) 7183-8752")
_POLICIES = crm_config_pb2.MergePolicy.values()[1:]
# A contact that stays linked to a record which is gone agrees with nothing.
_DELETIONS = (crm_config_pb2.DELETION_POLICY_UNLINK, crm_config_pb2.DELETION_POLICY_DELETE)


class Happening(Protocol):
    """One step of a play."""

    async def do(self, play: Play) -> None:
        """Let it happen; nothing does where there is nobody that it could happen to."""


@dataclass(frozen=True)
class EditHere:
    """Somebody changes a field of a contact here."""

    pick: int
    field: str
    value: str

    async def do(self, play: Play) -> None:
        """Change it."""
        if living := await play.living():
            row = living[self.pick % len(living)]
            await play.edit_here(str(row.id), row.email, {self.field: self.value})


@dataclass(frozen=True)
class EditThere:
    """Somebody changes a field of a record."""

    pick: int
    field: str
    value: str

    async def do(self, play: Play) -> None:
        """Change it."""
        play.edit_there(self.pick, {self.field: self.value})


@dataclass(frozen=True)
class CreateHere:
    """Somebody adds a contact."""

    email: str
    values: Fields

    async def do(self, play: Play) -> None:
        """Add it, unless one has its email."""
        await play.create_here({"email": self.email, **self.values})


@dataclass(frozen=True)
class CreateThere:
    """Somebody adds a record."""

    email: str
    values: Fields

    async def do(self, play: Play) -> None:
        """Add it, unless one has its email."""
        play.create_there({"email": self.email, **self.values})


@dataclass(frozen=True)
class DeleteHere:
    """Somebody deletes a contact."""

    pick: int

    async def do(self, play: Play) -> None:
        """Delete it."""
        if living := await play.living():
            row = living[self.pick % len(living)]
            await play.delete_here(str(row.id), row.email)


@dataclass(frozen=True)
class DeleteThere:
    """Somebody deletes a record."""

    pick: int

    async def do(self, play: Play) -> None:
        """Delete it."""
        play.delete_there(self.pick)


@dataclass(frozen=True)
class Merge:
    """Somebody merges two records."""

    loser: int
    winner: int

    async def do(self, play: Play) -> None:
        """Merge them."""
        play.merge_there(self.loser, self.winner)


@dataclass(frozen=True)
class Lag:
    """The CRM's index falls behind, or keeps up from now on."""

    on: bool

    async def do(self, play: Play) -> None:
        """Set how far."""
        play.there.lag(LAG if self.on else 0)


@dataclass(frozen=True)
class Webhooks:
    """The CRM tells of changes from now on, or not any more."""

    on: bool

    async def do(self, play: Play) -> None:
        """Subscribe or not."""
        play.subscribe(on=self.on)


@dataclass(frozen=True)
class Policy:
    """Somebody changes how both sides are brought together."""

    policy: crm_config_pb2.MergePolicy.ValueType
    deletion: crm_config_pb2.DeletionPolicy.ValueType

    async def do(self, play: Play) -> None:
        """Change the configuration."""
        settings = crm_config_pb2.MergeSettings(policy=self.policy, deletion_policy=self.deletion)
        await play.configure(settings)


@dataclass(frozen=True)
class Sync:
    """A session begins, beside those that go on; the next step may wait for its end, or not."""

    kind: Literal["changes", "full", "manual"]
    waits: bool
    pick: int

    async def do(self, play: Play) -> None:
        """Start it."""
        crm = play.there.crm
        if self.kind != "manual":
            await play.begin((full if self.kind == "full" else changes)(crm, BOTH))
        elif living := await play.living():
            one = str(living[self.pick % len(living)].id)
            await play.begin(manual(one, crm=crm, direction=BOTH))
        if self.waits:
            await play.ended()


@dataclass(frozen=True)
class Crash:
    """The server is cut down in a session, after so many calls; another one starts."""

    calls: int

    async def do(self, play: Play) -> None:
        """Cut it down."""
        await play.begin(changes(play.there.crm, BOTH))
        await play.crash_after(self.calls)


def plays(fields: tuple[str, ...]) -> st.SearchStrategy[list[Happening]]:
    """Make up plays about a few people, of whom both sides know these fields."""
    pick, flag = st.integers(0, 5), st.booleans()
    person = st.fixed_dictionaries({field: _values(field) for field in fields})
    kinds = st.sampled_from(("changes", "changes", "full", "manual"))
    sync = st.builds(Sync, kinds, flag, pick)
    edits = [
        st.builds(edit, pick, st.just(field), _values(field))
        for edit in (EditHere, EditThere)
        for field in fields
    ]
    happening: st.SearchStrategy[Happening] = st.one_of(
        *edits,
        sync,
        sync,
        sync,
        st.builds(CreateHere, st.sampled_from(_EMAILS), person),
        st.builds(CreateThere, st.sampled_from(_EMAILS), person),
        st.builds(DeleteHere, pick),
        st.builds(DeleteThere, pick),
        st.builds(Merge, pick, pick),
        st.builds(Lag, flag),
        st.builds(Webhooks, flag),
        st.builds(Policy, st.sampled_from(_POLICIES), st.sampled_from(_DELETIONS)),
        st.builds(Crash, st.integers(0, 4)),
    )
    return st.lists(happening, min_size=12, max_size=24)


def _values(field: str) -> st.SearchStrategy[str]:
    return st.sampled_from(_PHONES if field == "phone" else _VALUES)
