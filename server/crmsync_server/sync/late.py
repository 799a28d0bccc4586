"""Records that are read late: a CRM's index lags, and our own deliveries come back as news."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from crmsync_server.sync.canonical import Kind, Value, canonical

_PART = 4
_BOTH = 2 * _PART
KindAt = Callable[[str], Kind]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a record when it is read again.

    modified_time: when it had changed as it was last agreed on, by the CRM's clock; None where the
        CRM did not tell, or has not told yet what a delivery changed.
    delivered_time: when the last delivery was confirmed, or both sides were found equal.
    echoes: digests of what was delivered lately, the newest last; an empty one parts those as of
        modified_time from those before.
    """

    modified_time: datetime | None
    delivered_time: datetime | None
    echoes: Sequence[bytes]


def digest(slots: Mapping[str, Value], kind_at: KindAt, region: str) -> bytes:
    """Return what a record is recognized by after a delivery: 8 bytes for each slot.

    Slot by slot and not as one, since a reading tells more slots than a delivery, or fewer.
    """
    parts = (
        _short(slot.encode()) + _spelled(value, kind_at(slot), region)
        for slot, value in sorted(slots.items())
    )
    return b"".join(parts)


def without_late(
    slots: Mapping[str, Value], seen: Seen, told: datetime | None, ways: tuple[KindAt, str]
) -> Mapping[str, Value] | None:
    """Return what of a record is to be taken for news; None when nothing is.

    slots: what the record tells. told: its modified_time. ways: the kinds of slots, and the region.
    """
    if told is not None and seen.modified_time is not None:
        if told == seen.modified_time:
            return _besides_echo(slots, _of_that_time(seen.echoes), ways) or None
        return slots if told > seen.modified_time else None
    if told is None:
        return None if _is_echo(slots, _delivered(seen)[:-1], ways) else slots
    if seen.delivered_time is None or told > seen.delivered_time:
        return slots
    # Changed before our last delivery was confirmed, which the CRM told no time of: each value that
    # an earlier delivery brought is older than the last one.
    fresh = {slot: value for slot, value in slots.items() if not _came(slot, value, seen, ways)}
    return fresh or None


def _of_that_time(echoes: Sequence[bytes]) -> Sequence[bytes]:
    """Return those that may come back with the very time at which both sides last agreed.

    Where a CRM's times are whole seconds more than one may, and so may what somebody does there in
    that second: what an earlier second brought, and is there in this one, was put back.
    """
    parted = max((at for at, echo in enumerate(echoes) if not echo), default=-1)
    return echoes[parted + 1 :]


def _delivered(seen: Seen) -> Sequence[bytes]:
    return [echo for echo in seen.echoes if echo]


def _besides_echo(
    slots: Mapping[str, Value], echoes: Sequence[bytes], ways: tuple[KindAt, str]
) -> Mapping[str, Value]:
    """Return what a record says besides what a delivery has brought; all of it where none has.

    A delivery that found a record which nobody here knew of has told some of its slots only.
    """
    for echo in reversed(echoes):
        if _is_echo(slots, [echo], ways):
            known = {key for key, _ in _parts(echo)}
            return {slot: slots[slot] for slot in slots if _short(slot.encode()) not in known}
    return slots


def _is_echo(slots: Mapping[str, Value], echoes: Sequence[bytes], ways: tuple[KindAt, str]) -> bool:
    for echo in echoes:
        known = dict(_parts(echo))
        told = [(_short(slot.encode()), slot, value) for slot, value in slots.items()]
        common = [(key, slot, value) for key, slot, value in told if key in known]
        if common and all(
            known[key] == _spelled(value, ways[0](slot), ways[1]) for key, slot, value in common
        ):
            return True
    return False


def _came(slot: str, value: Value, seen: Seen, ways: tuple[KindAt, str]) -> bool:
    """Tell whether a delivery before the last one brought this value, and the last one another."""
    key, spelled = _short(slot.encode()), _spelled(value, ways[0](slot), ways[1])
    history = [dict(_parts(echo)).get(key) for echo in _delivered(seen)]
    return bool(history) and spelled in history[:-1] and history[-1] != spelled


def _parts(echo: bytes) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(echo), _BOTH):
        yield echo[start : start + _PART], echo[start + _PART : start + _BOTH]


def _spelled(value: Value, kind: Kind, region: str) -> bytes:
    form = canonical(value, kind, region)
    text = form if isinstance(form, str) else "\0".join(sorted(form))
    return _short(text.encode("utf-8", "surrogatepass"))


def _short(content: bytes) -> bytes:
    return blake2b(content, digest_size=_PART).digest()
