"""What is sent to Mautic for each contact, and how it is recognised in what Mautic shows.

Mautic skips empty values unless a record says `overwriteWithBlank`, drops aliases that no field
has, and takes a zero for an empty value; all three without a word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.replies import mapping, mappings, text, texts

EMAIL = "email"
FIELDS = {
    "first_name": "firstname",
    "last_name": "lastname",
    "phone": "phone",
    "company": "company",
}
# They identify or steer a write, so that no property may set them.
RESERVED = frozenset(
    {
        "id",
        EMAIL,
        "tags",
        "overwritewithblank",
        "donotcontact",
        "frequencyrules",
        "ipaddress",
        "lastactive",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contact as Mautic is to hold it.

    positions: where its deliveries stand in the batch; several have the same address.
    email: trimmed and in lower case.
    values: by field alias; an empty one clears Mautic's.
    record_id: Mautic's id from an earlier delivery, empty when there is none.
    left_out: names of properties and tags that cannot be sent.
    """

    positions: tuple[int, ...]
    email: str
    values: Mapping[str, str]
    tags: tuple[str, ...] = ()
    record_id: str = ""
    left_out: tuple[str, ...] = ()


def row(position: int, delivery: Delivery) -> Row:
    """Return the row of a delivery; empty values are left out, unless they are to clear."""
    # Aliases are in lower case in every Mautic.
    custom = {name.lower(): value for name, value in delivery.properties.items()}
    owned = {alias: str(getattr(delivery, field)) for field, alias in FIELDS.items()}
    blank = {FIELDS.get(name, name.lower()) for name in delivery.blank}
    wanted = {**dict.fromkeys(sorted(blank), ""), **custom, **owned}
    # A dash before a tag would take it away.
    tags = tuple(tag.strip() for tag in delivery.tags)
    record_id = delivery.crm_contact_id or ""
    return Row(
        (position,),
        deliverable(delivery.email),
        {
            alias: value if value.strip() else ""
            for alias, value in wanted.items()
            if alias not in RESERVED and (value.strip() or alias in blank)
        },
        tuple(dict.fromkeys(tag for tag in tags if tag and not tag.startswith("-"))),
        record_id if record_id.isascii() and record_id.isdecimal() else "",
        tuple(name for name in custom if name in RESERVED)
        + tuple(tag for tag in tags if tag.startswith("-")),
    )


def body(row: Row) -> dict[str, object]:
    """Return the record that is sent."""
    record: dict[str, object] = {**row.values, EMAIL: row.email}
    if row.tags:
        record["tags"] = list(row.tags)
    if "" in row.values.values():
        record["overwriteWithBlank"] = True
    return record


def together(rows: Iterable[Row]) -> list[Row]:
    """Merge rows of one address, in order: a later value replaces an earlier one.

    Mautic detaches a record once it is written, so that the same one twice in a call is not safe.
    """
    merged: dict[str, Row] = {}
    for later in rows:
        first = merged.get(later.email)
        merged[later.email] = later if first is None else _merged(first, later)
    return list(merged.values())


def _merged(first: Row, later: Row) -> Row:
    return replace(
        later,
        positions=first.positions + later.positions,
        values={**first.values, **later.values},
        tags=tuple(dict.fromkeys(first.tags + later.tags)),
        record_id=first.record_id or later.record_id,
        left_out=tuple(dict.fromkeys(first.left_out + later.left_out)),
    )


def shown(contact: Mapping[str, object]) -> Mapping[str, str]:
    """Return the values of a contact as Mautic shows it, by alias; an empty field is there too."""
    fields = mapping(contact.get("fields"))
    flat = mapping(fields.get("all"))
    if flat:
        return {alias: _text(value) for alias, value in flat.items()}
    groups = [mapping(group) for group in fields.values()]
    return {
        alias: _text(mapping(entry).get("value"))
        for group in groups
        for alias, entry in group.items()
    }


def email_of(contact: Mapping[str, object]) -> str:
    """Return the address of a contact as rows have it; empty when it has none."""
    return deliverable(shown(contact).get(EMAIL, ""))


def note(row: Row, contact: Mapping[str, object]) -> str:
    """Say what Mautic did not keep of a row, as its contact shows; empty when it kept all."""
    held = shown(contact)
    lost = [
        alias for alias, value in row.values.items() if value and _is_lost(value, held.get(alias))
    ]
    names = [*row.left_out, *lost]
    return f"not kept, Mautic has no place for it: {', '.join(names)}" if names else ""


def _is_lost(value: str, held: str | None) -> bool:
    """Tell whether a value was dropped: Mautic shows none, or still another than a zero."""
    return not held or (_is_zero(value) and not _is_zero(held))


def _is_zero(value: str) -> bool:
    try:
        return int(float(value)) == 0  # as Mautic looks for them, without the fraction
    except (ValueError, OverflowError):
        return False


def holds(row: Row, contact: Mapping[str, object]) -> bool:
    """Tell whether a contact has the row's address and tags, and each value it has a field for."""
    held = shown(contact)
    tags = {tag.lower() for tag in tags_of(contact)}
    return (
        email_of(contact) == row.email
        and tags.issuperset(tag.lower() for tag in row.tags)
        and all(
            held[alias] == value.strip() for alias, value in row.values.items() if alias in held
        )
    )


def tags_of(contact: Mapping[str, object]) -> Sequence[str]:
    """Return the tags of a contact."""
    tags = contact.get("tags")
    return [text(tag.get("tag")) for tag in mappings(tags)] or texts(tags)


def _text(value: object) -> str:
    # Most of a page's fields are empty, and nearly all others are texts.
    if value is None:
        return ""
    if type(value) is str:
        return value.strip()
    if isinstance(value, bool):
        return "1" if value else "0"
    return "|".join(texts(value)).strip()
