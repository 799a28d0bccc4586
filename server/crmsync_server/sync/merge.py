"""The merge of one contact with its record: three ways, field by field.

Pure: values in, values out. docs/explanation/merging.md says why it is so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from crmsync_server.store.merging import MergePolicy, Merging
from crmsync_server.sync.canonical import Kind, Value, empty, same

Fields = Mapping[str, Value]
"""Values by the contact's field, such as `company` or `properties.plan`."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one side says.

    there: as the CRM has it; of the contact, as the CRM would be told.
    here: as the contact has it; of the record, as the contact would have it. The very same where
        nothing is mapped.
    """

    there: Fields
    here: Fields


@dataclass(frozen=True, slots=True)
class Meeting:
    """What is brought together.

    ours: every field that the contact fills, others are empty.
    theirs: every field that the record tells; others are left out of the merge.
    base: what both last agreed on; a field is missing where that is not known.
    ours_time, theirs_time: when each side last changed, each by its own clock; None where the CRM
        does not tell.
    """

    ours: Side
    theirs: Side
    base: Side
    ours_time: datetime
    theirs_time: datetime | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that the sides told differently; result is None where they still do.

    base, theirs: as the CRM has it; base is None where that is not known.
    ours, result: as the contact has it.
    """

    field: str
    base: Value | None
    ours: Value
    theirs: Value
    result: Value | None


@dataclass(slots=True)
class Merged:
    """What comes of it.

    taken: what the contact gets from the record, as the contact has it.
    ahead: fields in which the CRM lacks what the contact has.
    conflicts: fields that stay different until somebody decides.
    base: what both have agreed on, or have seen of each other, from now on.
    """

    taken: dict[str, Value] = field(default_factory=dict)
    ahead: set[str] = field(default_factory=set)
    conflicts: set[str] = field(default_factory=set)
    base: dict[str, Value] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @property
    def agreed(self) -> bool:
        """Whether both sides have the same afterwards."""
        return not (self.ahead or self.conflicts)


@dataclass(frozen=True, slots=True)
class Ways:
    """By what it is decided: the settings, and what kind each field is of.

    naming: the field that the CRM's email is told from; None where none is.
    """

    merging: Merging
    kind_of: Callable[[str], Kind]
    naming: str | None = "email"


def merge(meeting: Meeting, ways: Ways) -> Merged:
    """Bring a contact and its record together.

    The base becomes what the CRM has, also where ours won: then ours still differs from it, which
    is what says that a delivery is due, and a later change of theirs is one against it. Of a field
    in conflict it stays what it was.
    """
    merged = Merged(base=dict(meeting.base.there))
    ours, base, region = meeting.ours, meeting.base.there, ways.merging.phone_region
    for name, theirs in meeting.theirs.there.items():
        kind = ways.kind_of(name)
        nothing = () if kind is Kind.TAGS else ""
        told, own = ours.there.get(name, nothing), ours.here.get(name, nothing)
        offered = meeting.theirs.here[name]
        contest = _Contest(name, kind, own, told, theirs, base.get(name))
        if told == theirs or same(told, theirs, kind, region) or _alike(contest, offered, ways):
            _see(merged, name, theirs, kind, region)
        elif not _is_left_alone(contest, ways):
            _settle(merged, contest, _winner(contest, meeting, ways), offered)
    _count_untold(merged, meeting, ways)
    return merged


class _Winner(Enum):
    OURS = "ours"
    NOT_DUE = "ours, and nothing to deliver"
    THEIRS = "theirs"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class _Contest:
    """One field that the sides tell differently; base is None where it is not known."""

    name: str
    kind: Kind
    own: Value
    told: Value
    theirs: Value
    base: Value | None


def _alike(contest: _Contest, offered: Value, ways: Ways) -> bool:
    # A CRM that writes in capitals what the mapping told in small letters is not told again.
    alike = same(contest.own, offered, contest.kind, ways.merging.phone_region)
    return alike and not (_is_lent(contest, ways) and empty(contest.theirs))


def _is_lent(contest: _Contest, ways: Ways) -> bool:
    """Tell whether the CRM is told the contact's own email for want of another."""
    return contest.name == ways.naming and empty(contest.own) and not empty(contest.told)


def _see(merged: Merged, name: str, theirs: Value, kind: Kind, region: str) -> None:
    before = merged.base.get(name)
    # What is the same in another form is no reason to write it down again.
    if before is None or not same(before, theirs, kind, region):
        merged.base[name] = theirs


def _is_left_alone(contest: _Contest, ways: Ways) -> bool:
    """Tell whether one side lacks an email and the other is as it was: it names the contact.

    A CRM does not take it away, and no delivery can take it away from a CRM.
    """
    base, region = contest.base, ways.merging.phone_region
    if base is None:
        return False
    if _names_nobody(contest, ways):
        return same(contest.told, base, contest.kind, region)
    if contest.name == ways.naming and empty(contest.told):
        return same(contest.theirs, base, contest.kind, region)
    return False


def _names_nobody(contest: _Contest, ways: Ways) -> bool:
    """Tell whether the CRM tells none of the contact's own email."""
    own = contest.name == "email" or _is_lent(contest, ways)
    return own and empty(contest.theirs)


def _winner(contest: _Contest, meeting: Meeting, ways: Ways) -> _Winner:
    if _names_nobody(contest, ways):
        return _Winner.OURS
    winner = _by_change(contest, meeting, ways)
    lacking = contest.name == ways.naming and empty(contest.told)
    return _Winner.NOT_DUE if lacking and winner is _Winner.OURS else winner


def _by_change(contest: _Contest, meeting: Meeting, ways: Ways) -> _Winner:
    """Return the side that has changed; where both have, or nobody knows, the policy's."""
    policy = ways.merging.policy_of(contest.name)
    region = ways.merging.phone_region
    theirs_empty, ours_empty = empty(contest.theirs), empty(contest.own)
    base = contest.base
    if theirs_empty != ours_empty and (base is None or policy is MergePolicy.NEVER_EMPTY):
        return _Winner.THEIRS if ours_empty else _Winner.OURS
    if base is not None:
        if same(contest.theirs, base, contest.kind, region):
            return _Winner.OURS
        agreed = meeting.base.here[contest.name]
        told = same(contest.told, base, contest.kind, region)
        if told or same(contest.own, agreed, contest.kind, region):
            return _Winner.THEIRS
    return _by_policy(policy, meeting)


def _by_policy(policy: MergePolicy, meeting: Meeting) -> _Winner:
    match policy:
        case MergePolicy.CRM_WINS:
            return _Winner.THEIRS
        case MergePolicy.OURS_WINS:
            return _Winner.OURS
        case MergePolicy.NEWEST_WINS if meeting.theirs_time is not None:
            later = meeting.theirs_time > meeting.ours_time
            return _Winner.THEIRS if later else _Winner.OURS
    return _Winner.NOBODY


def _settle(merged: Merged, contest: _Contest, winner: _Winner, offered: Value) -> None:
    name, result = contest.name, None
    match winner:
        case _Winner.NOT_DUE:
            merged.base[name] = contest.theirs
            return
        case _Winner.NOBODY:
            merged.conflicts.add(name)
        case _Winner.THEIRS:
            result = merged.taken[name] = offered
            merged.base[name] = contest.theirs
        case _Winner.OURS:
            result = contest.own
            merged.ahead.add(name)
            merged.base[name] = contest.theirs
    merged.differences.append(Difference(name, contest.base, contest.own, contest.theirs, result))


def _count_untold(merged: Merged, meeting: Meeting, ways: Ways) -> None:
    """Note what the record does not tell and the CRM, for all that is known, does not have."""
    told, base, region = meeting.theirs.there, meeting.base, ways.merging.phone_region
    for name, value in meeting.ours.there.items():
        if name in told or (name == ways.naming and empty(value)):
            continue
        if name not in base.there:
            lacks = not empty(value)
        else:
            kind, own = ways.kind_of(name), meeting.ours.here.get(name, value)
            lacks = not (
                same(value, base.there[name], kind, region)
                or same(own, base.here[name], kind, region)
            )
        if lacks:
            merged.ahead.add(name)
