"""Contact properties of a simulated HubSpot portal: their definitions and what values they take."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from crmsync_server.sandbox.hubspot_errors import HubSpotError, invalid_value
from crmsync_server.sandbox.wire import JsonObject, is_email

EMAIL = "email"
ADDITIONAL_EMAILS = "hs_additional_emails"
MERGED_IDS = "hs_merged_object_ids"
TYPES = ("bool", "date", "datetime", "enumeration", "number", "phone_number", "string")
_TEXT = (
    "address",
    "annualrevenue",
    "city",
    "company",
    "country",
    "fax",
    "firstname",
    "hs_additional_emails",
    "hs_language",
    "industry",
    "jobtitle",
    "lastname",
    "message",
    "mobilephone",
    "phone",
    "salutation",
    "state",
    "website",
    "zip",
)
_COMPUTED = {
    "createdate": ("datetime", "date"),
    MERGED_IDS: ("string", "text"),
    "hs_object_id": ("number", "number"),
    "lastmodifieddate": ("datetime", "date"),
}
_GROUPS = {"contactinformation": "Contact Information", "emailinformation": "Email Information"}
_LIFECYCLE = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)
_LEAD_STATUS = (
    "NEW",
    "OPEN",
    "IN_PROGRESS",
    "OPEN_DEAL",
    "UNQUALIFIED",
    "ATTEMPTED_TO_CONTACT",
    "CONNECTED",
    "BAD_TIMING",
)


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """One contact property."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group_name: str = "contactinformation"
    options: tuple[str, ...] = ()
    has_unique_value: bool = False
    read_only: bool = False
    hubspot_defined: bool = True

    def as_json(self) -> JsonObject:
        """Return the definition as HubSpot prints it."""
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group_name,
            "options": [{"label": value.title(), "value": value} for value in self.options],
            "hasUniqueValue": self.has_unique_value,
            "hubspotDefined": self.hubspot_defined,
            "modificationMetadata": {"readOnlyValue": self.read_only},
        }

    @classmethod
    def parse(cls, body: JsonObject) -> "PropertyDefinition":
        """Read the body of a request to create a property.

        Raises:
            HubSpotError: 400, a required field is missing or the type is unknown.
        """
        missing = [
            key
            for key in ("name", "label", "type", "fieldType", "groupName")
            if not isinstance(body.get(key), str)
        ]
        if missing:
            raise HubSpotError(400, f"Some required fields were not set: {missing}")
        if body["type"] not in TYPES:
            raise HubSpotError(400, f"Invalid type {body['type']}; expected one of {TYPES}")
        return cls(
            name=body["name"],
            label=body["label"],
            type=body["type"],
            field_type=body["fieldType"],
            group_name=body["groupName"],
            options=tuple(_option_values(body)),
            has_unique_value=bool(body.get("hasUniqueValue", False)),
            hubspot_defined=False,
        )


def _option_values(body: JsonObject) -> list[str]:
    options = body.get("options") or []
    if not isinstance(options, list) or not all(
        isinstance(option, dict) and isinstance(option.get("value"), str) for option in options
    ):
        raise HubSpotError(400, "options must be a list of {label, value}")
    return [option["value"] for option in options]


def default_properties() -> dict[str, PropertyDefinition]:
    """Return the properties that a new portal has, by name."""
    text = [PropertyDefinition(name, name.title()) for name in _TEXT]
    computed = [
        PropertyDefinition(name, name.title(), kind, field_type, read_only=True)
        for name, (kind, field_type) in _COMPUTED.items()
    ]
    others = [
        PropertyDefinition(EMAIL, "Email", has_unique_value=True),
        PropertyDefinition(
            "lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=_LIFECYCLE
        ),
        PropertyDefinition(
            "hs_lead_status", "Lead Status", "enumeration", "radio", options=_LEAD_STATUS
        ),
    ]
    return {definition.name: definition for definition in [*text, *computed, *others]}


def default_groups() -> dict[str, JsonObject]:
    """Return the groups of properties that a new portal has, as HubSpot prints them, by name."""
    return {name: group_json(name, label) for name, label in _GROUPS.items()}


def group_json(name: str, label: str) -> JsonObject:
    """Return a group of properties as HubSpot prints it."""
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}


def check_values(
    definitions: Mapping[str, PropertyDefinition], values: Mapping[str, str]
) -> Iterator[HubSpotError]:
    """Yield an error for each value that its property does not take, in the order given."""
    for name, value in values.items():
        definition = definitions.get(name)
        if definition is None:
            message = f'Property "{name}" does not exist'
            yield invalid_value(message, "PROPERTY_DOESNT_EXIST", name)
        elif definition.read_only:
            yield invalid_value(f'"{name}" is a read only property', "READ_ONLY_VALUE", name)
        elif value and not _fits(definition, value):
            message = f"{value!r} is not a valid {definition.type} for {name}"
            yield invalid_value(message, _error_code(definition), name)


def _fits(definition: PropertyDefinition, value: str) -> bool:
    if definition.name == EMAIL:
        return is_email(value)
    if definition.type == "enumeration":
        return set(value.split(";")) <= set(definition.options)
    if definition.type == "bool":
        return value in {"true", "false"}
    if definition.type == "number":
        return _parses(float, value)
    if definition.type in {"date", "datetime"}:
        return value.lstrip("-").isdigit() or _parses(datetime.fromisoformat, value)
    return True


def _error_code(definition: PropertyDefinition) -> str:
    if definition.name == EMAIL:
        return "INVALID_EMAIL"
    return {"enumeration": "INVALID_OPTION", "number": "INVALID_DOUBLE"}.get(
        definition.type, f"INVALID_{definition.type.upper()}"
    )


def _parses(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True
