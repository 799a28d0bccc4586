"""What a CRM holds, and what it should hold, in the same words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fields:
    """What is pushed of a contact; empty where it has none."""

    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    company: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A contact at a CRM.

    email: in lower case.
    crm_contact_id: what crmsync keeps as the CRM's id.
    times_created: how often the CRM made it; more than once is a duplicate.
    """

    email: str
    crm_contact_id: str
    fields: Fields
    times_created: int = 1


def held(crm: str, contact: Mapping[str, Any]) -> Held:
    """Read a contact as a simulated CRM prints it."""
    return _held_by_brevo(contact) if crm == "brevo" else _held_by_hubspot(contact)


def _held_by_hubspot(contact: Mapping[str, Any]) -> Held:
    properties: Mapping[str, str] = contact["properties"]
    fields = Fields(
        properties.get("firstname", ""),
        properties.get("lastname", ""),
        properties.get("phone", ""),
        properties.get("company", ""),
    )
    return Held(contact["email"].lower(), contact["id"], fields, contact["times_created"])


def _held_by_brevo(contact: Mapping[str, Any]) -> Held:
    attributes: Mapping[str, str] = contact["attributes"]
    fields = Fields(
        attributes.get("FIRSTNAME", ""),
        attributes.get("LASTNAME", ""),
        attributes.get("SMS", ""),
        attributes.get("COMPANY", ""),
    )
    email = contact["email"].lower()
    return Held(email, email, fields, contact["times_created"])
