"""The fields of a simulated Zoho's Contacts: their definitions and what values they take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from crmsync_server.sandbox.wire import JsonObject, is_email

EMAIL = "Email"
LAST_NAME = "Last_Name"
COMPANY = "Account_Name"
_FIRST_FIELD_ID = 554023000000002001
_SALUTATIONS = ("Mr.", "Mrs.", "Ms.", "Dr.", "Prof.")
_SOURCES = (
    "Advertisement",
    "Cold Call",
    "Employee Referral",
    "External Referral",
    "Online Store",
    "Partner",
    "Public Relations",
    "Trade Show",
    "Web Research",
    "Chat",
)
_TEXT_LENGTHS = {
    "First_Name": 40,
    "Title": 100,
    "Department": 50,
    "Assistant": 75,
    "Skype_ID": 50,
    "Twitter": 50,
    **{
        f"{kind}_{part}": length
        for kind in ("Mailing", "Other")
        for part, length in {
            "Street": 250,
            "City": 100,
            "State": 100,
            "Zip": 30,
            "Country": 100,
        }.items()
    },
}
_PHONES = ("Phone", "Mobile", "Home_Phone", "Other_Phone", "Asst_Phone", "Fax")
_TEXT_TYPES = ("text", "textarea", "email", "phone", "website")
TYPES = (
    *_TEXT_TYPES,
    "bigint",
    "boolean",
    "currency",
    "date",
    "datetime",
    "double",
    "integer",
    "multiselectpicklist",
    "picklist",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of Contacts, by the name that the API knows it by."""

    api_name: str
    data_type: str = "text"
    length: int = 255
    label: str = ""
    options: tuple[str, ...] = ()
    options_open: bool = False
    """Whether a picklist takes values that are not among its options."""
    read_only: bool = False
    mandatory: bool = False
    unique: bool = False
    custom: bool = False

    def as_json(self, number: int) -> JsonObject:
        """Return the definition as Zoho prints it; `number` tells the fields apart."""
        options = [{"display_value": one, "actual_value": one} for one in self.options]
        return {
            "id": str(_FIRST_FIELD_ID + number),
            "api_name": self.api_name,
            "field_label": self.label or self.api_name.replace("_", " "),
            "data_type": self.data_type,
            "length": self.length,
            "pick_list_values": options,
            "read_only": self.read_only,
            "field_read_only": self.read_only,
            "unique": {"casesensitive": "false"} if self.unique else {},
            "system_mandatory": self.mandatory,
            "custom_field": self.custom,
            "visible": True,
        }


def default_fields() -> dict[str, Field]:
    """Return the fields that Contacts have in a new organization, by name."""
    computed = {"Created_Time": "datetime", "Modified_Time": "datetime"}
    users = ("Created_By", "Modified_By")
    fields = [
        Field("id", "bigint", 20, label="Record Id", read_only=True),
        Field("Owner", "ownerlookup", 120),
        Field(LAST_NAME, length=80, mandatory=True),
        Field("Full_Name", length=80, read_only=True),
        Field(EMAIL, "email", 100),
        Field("Secondary_Email", "email", 100),
        Field("Salutation", "picklist", 120, options=_SALUTATIONS),
        Field("Lead_Source", "picklist", 120, options=_SOURCES, options_open=True),
        Field("Date_of_Birth", "date", 20),
        Field("Email_Opt_Out", "boolean", 5),
        Field(COMPANY, "lookup", 120),
        Field("Description", "textarea", 32_000),
        *(Field(name, length=length) for name, length in _TEXT_LENGTHS.items()),
        *(Field(name, "phone", 50) for name in _PHONES),
        *(Field(name, kind, 120, read_only=True) for name, kind in computed.items()),
        *(Field(name, "ownerlookup", 120, read_only=True) for name in users),
    ]
    return {field.api_name: field for field in fields}


def problem_with(field: Field, value: object) -> dict[str, object] | None:
    """Return the details that say why a field does not take a value; None if it does."""
    wrong_type: dict[str, object] = {"expected_data_type": field.data_type}
    if field.data_type in _TEXT_TYPES:
        return _problem_with_text(field, value)
    fits = _CHECKS[field.data_type]
    if not fits(value):
        return wrong_type
    if field.options and not field.options_open:
        given = value if isinstance(value, list) else [value]
        if not set(given) <= set(field.options):
            return wrong_type | {"allowed_values": list(field.options)}
    return None


def _problem_with_text(field: Field, value: object) -> dict[str, object] | None:
    if not isinstance(value, str):
        return {"expected_data_type": field.data_type}
    if len(value) > field.length:
        return {"maximum_length": field.length}
    if field.data_type == "email" and not is_email(value):
        return {"expected_data_type": "email"}
    return None


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_instant(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names_a_record(value: object) -> bool:
    return isinstance(value, dict) and str(value.get("id", "")).isdecimal()


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "bigint": _is_whole,
    "boolean": lambda value: isinstance(value, bool),
    "currency": _is_number,
    "date": _is_date,
    "datetime": _is_instant,
    "double": _is_number,
    "integer": _is_whole,
    "lookup": _names_a_record,
    "multiselectpicklist": _is_list_of_text,
    "ownerlookup": _names_a_record,
    "picklist": lambda value: isinstance(value, str),
}
