"""What is sent to Zoho for each contact, and how it is recognised in what Zoho shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.replies import text
from crmsync_server.crm.zoho_fields import Fields, is_held, shown

EMAIL, LAST_NAME, TAG = "Email", "Last_Name", "Tag"
OWNED: Mapping[str, str] = {"first_name": "First_Name", "last_name": LAST_NAME, "phone": "Phone"}
# They identify a record, or are told by Zoho itself, so that no property may set them.
_RESERVED = frozenset({"id", EMAIL.lower(), TAG.lower()})


@dataclass(frozen=True, slots=True)
class Row:
    """One contact as Zoho is to hold it.

    positions: where its deliveries stand in the batch; several have the same address.
    email: trimmed and in lower case.
    values: by API name, as JSON; None clears Zoho's.
    company: None where nothing is said of it, empty where it is to be cleared.
    record_id: Zoho's id from an earlier delivery, empty when there is none.
    notes: what was left out or made up.
    """

    positions: tuple[int, ...]
    email: str
    values: Mapping[str, object]
    company: str | None = None
    record_id: str = ""
    notes: tuple[str, ...] = field(default=())
    keeps_email: bool = False

    @property
    def has_last_name(self) -> bool:
        """Whether it can be made new: Zoho refuses a contact without a last name."""
        return bool(self.values.get(LAST_NAME))

    @property
    def stand_in(self) -> str:
        """What stands for a last name where there is none: the address up to its @."""
        return self.email.partition("@")[0]

    def named(self) -> "Row":
        """Return the row with a last name, made up if need be."""
        if self.has_last_name:
            return self
        note = f"Zoho needs a last name: {self.stand_in} stands in for it"
        return replace(
            self,
            values={**self.values, LAST_NAME: self.stand_in},
            notes=(*self.notes, note),
        )

    def aimed(self, record_id: str) -> "Row":
        """Return the row for this record."""
        return replace(self, record_id=record_id)

    @property
    def note(self) -> str:
        """Say what was left out or made up; empty when nothing was."""
        return "; ".join(self.notes)


def row(position: int, delivery: Delivery, fields: Fields, company_field: str) -> Row:
    """Return the row of a delivery; empty values are left out, unless they are to clear.

    company_field: the API name of the field that takes the company.
    """
    owned = {api: str(getattr(delivery, name)).strip() for name, api in OWNED.items()}
    names = {**OWNED, "company": company_field}
    blank = {names.get(name, name) for name in delivery.blank}
    values, lost = _custom(delivery, fields, blank, {*owned, company_field})
    for api, value in owned.items():
        if value:
            values[api] = value
        elif api in blank and api != LAST_NAME:
            values.setdefault(api, None)
    company = delivery.company.strip()
    if delivery.tags:
        lost.append("tags")
    record_id = delivery.crm_contact_id or ""
    return Row(
        (position,),
        deliverable(delivery.email),
        values,
        company if company or company_field in blank else None,
        record_id if record_id.isascii() and record_id.isdecimal() else "",
        (f"not sent, Zoho has no place for it: {', '.join(lost)}",) if lost else (),
        delivery.keep_email,
    )


def _custom(
    delivery: Delivery, fields: Fields, blank: set[str], owned: set[str]
) -> tuple[dict[str, object], list[str]]:
    """Return a delivery's own properties as Zoho takes them, and the names of those left out."""
    wanted = {**dict.fromkeys(sorted(blank - owned), ""), **delivery.properties}
    values: dict[str, object] = {}
    lost: list[str] = []
    for name, value in wanted.items():
        if not value.strip() and name not in blank:
            continue
        found = None if name.lower() in _RESERVED else fields.find(name)
        if found is None or not found.writable:
            lost.append(name)
        elif value.strip():
            values[found.name] = found.written(value)
        elif found.name != LAST_NAME:
            values[found.name] = None
    return values, lost


def body(one: Row) -> dict[str, object]:
    """Return the record that is sent."""
    told = {} if one.record_id and one.keeps_email else {EMAIL: one.email}
    record = {**one.values, **told}
    return {**record, "id": one.record_id} if one.record_id else record


def together(rows: Iterable[Row]) -> list[Row]:
    """Merge rows of one address, in order: a later value replaces an earlier one.

    Two rows of one record and different addresses part: the first of them keeps the record.
    """
    merged: dict[str, Row] = {}
    for later in rows:
        first = merged.get(later.email)
        merged[later.email] = later if first is None else _merged(first, later)
    taken: set[str] = set()
    parted = []
    for one in merged.values():
        parted.append(one.aimed("") if one.record_id in taken else one)
        taken.add(one.record_id)
    return parted


def _merged(first: Row, later: Row) -> Row:
    return replace(
        later,
        positions=first.positions + later.positions,
        values={**first.values, **later.values},
        company=first.company if later.company is None else later.company,
        record_id=first.record_id or later.record_id,
        notes=tuple(dict.fromkeys(first.notes + later.notes)),
    )


def holds(one: Row, record: Mapping[str, object], company_field: str) -> bool:
    """Tell whether a record, as Zoho shows it, has the row's address and every value of it."""
    kept = one.keeps_email and one.record_id == text(record.get("id"))
    if not kept and text(record.get(EMAIL)).strip().lower() != one.email:
        return False
    if one.company is not None and shown(record.get(company_field)).strip() != one.company:
        return False
    return all(is_held(value, record.get(name)) for name, value in one.values.items())
