"""What one Zoho tells of itself: its fields, rights, organization and modules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.directory import (
    CrmField,
    FieldResult,
    FieldStatus,
    Module,
    NewField,
    Organization,
    Permission,
)
from crmsync_server.crm.outcomes import Postponed, Retry
from crmsync_server.crm.replies import Reply, mapping, mappings, text
from crmsync_server.crm.zoho_access import Grant
from crmsync_server.crm.zoho_calls import V8, Call, Zoho
from crmsync_server.crm.zoho_check import ORG, PROBE
from crmsync_server.crm.zoho_errors import Trouble, code, entries, is_refusal, reason, trouble
from crmsync_server.crm.zoho_fields import FIELDS, FieldBook, Fields
from crmsync_server.crm.zoho_making import UNSUPPORTED, creation, described, twin

_MODULES = f"{V8}/settings/modules"
_COQL = Call(
    "POST",
    f"{V8}/coql",
    json={"select_query": "select id from Contacts where id is not null limit 0, 1"},
)
_ASKED = {
    "contacts.read": (PROBE, "ZohoCRM.modules.contacts.READ", True),
    "contacts.search": (_COQL, "ZohoCRM.coql.READ", True),
    "fields.read": (
        Call("GET", FIELDS, params={"module": "Contacts"}),
        "ZohoCRM.settings.fields.READ",
        True,
    ),
    "organization.read": (Call("GET", ORG), "ZohoCRM.org.READ", False),
    "modules.read": (Call("GET", _MODULES), "ZohoCRM.settings.modules.READ", False),
    "notifications.read": (
        Call("GET", f"{V8}/actions/watch"),
        "ZohoCRM.notifications.READ",
        False,
    ),
}
# Zoho tells of a right to write only where something is written.
_UNTOLD = {
    "contacts.write": ("ZohoCRM.modules.contacts.WRITE and .CREATE", True),
    "companies.write": ("ZohoCRM.modules.accounts.WRITE and .CREATE", False),
    "fields.write": ("ZohoCRM.settings.fields.CREATE", False),
    "export": ("ZohoCRM.bulk.READ", False),
}


@dataclass(frozen=True, slots=True)
class ZohoDirectory:
    """One organization; every method raises CredentialsRefusedError."""

    zoho: Zoho
    book: FieldBook
    company_field: str

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the fields of contacts, as they are now."""
        found = await self.book.ask()
        if not isinstance(found, Fields):
            return found
        return [described(one, self.company_field) for one in (found.known or {}).values()]

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make those that are not there, a call for each: Zoho makes the API name of the label."""
        there = await self.fields()
        if isinstance(there, Trouble):
            return there
        made: list[FieldResult | NewField] = []
        for new in fields:
            found = twin(new, there)
            result = found if found is not None else await self._create(new)
            if isinstance(result, Trouble):
                return result
            made.append(result)
        self.book.forget()
        return await self._named(made)

    async def _create(self, new: NewField) -> FieldResult | NewField | Trouble:
        """Make one field; itself, where it was made under a name that is still to be learned."""
        body = creation(new)
        if body is None:
            return FieldResult(new.name, FieldStatus.FAILED, UNSUPPORTED, f"no {new.type} in Zoho")
        call = Call("POST", FIELDS, params={"module": "Contacts"}, json={"fields": [body]})
        reply = await self.zoho.call(call)
        told = entries(reply, "fields") if isinstance(reply, Reply) else []
        if told and code(told[0]) == "SUCCESS":
            return new
        if told:
            return FieldResult(new.name, FieldStatus.FAILED, code(told[0]), reason(told[0]))
        why = trouble(reply, self.zoho.now())
        if isinstance(why, Postponed | Retry) or (isinstance(reply, Reply) and is_refusal(reply)):
            return why
        return FieldResult(new.name, FieldStatus.FAILED, why.code, why.message)

    async def _named(self, made: Sequence[FieldResult | NewField]) -> Sequence[FieldResult]:
        """Return results with the names that Zoho has given to what was made."""
        fresh = any(isinstance(one, NewField) for one in made)
        there = await self.fields() if fresh else ()
        names = {} if isinstance(there, Trouble) else {one.label: one.name for one in there}
        return [
            FieldResult(names.get(one.label, one.name), FieldStatus.CREATED)
            if isinstance(one, NewField)
            else one
            for one in made
        ]

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Make the calls that read, and say which of them are allowed."""
        found = []
        for name, (call, scope, needed) in _ASKED.items():
            reply = await self.zoho.call(call)
            if isinstance(reply, Reply) and _is_granted(reply):
                found.append(Permission(name, granted=True, detail=scope, needed=needed))
                continue
            why = trouble(reply, self.zoho.now())
            if isinstance(why, Postponed | Retry):
                return why
            denied = isinstance(reply, Reply) and is_refusal(reply)
            found.append(Permission(name, False if denied else None, scope, needed))
        untold = (Permission(name, None, *about) for name, about in _UNTOLD.items())
        return [*found, *untold]

    async def organization(self) -> Organization | Trouble:
        """Return whose account it is."""
        reply = await self.zoho.call(Call("GET", ORG))
        told = entries(reply, "org") if isinstance(reply, Reply) else []
        if not told:
            return trouble(reply, self.zoho.now())
        org = told[0]
        terms = mapping(org.get("license_details"))
        return Organization(
            text(org.get("id")),
            name=text(org.get("company_name")),
            edition=text(terms.get("paid_type")),
            country=text(org.get("country_code")) or text(org.get("country")),
            currency=text(org.get("iso_code")) or text(org.get("currency")),
            time_zone=text(org.get("time_zone")),
            email=text(org.get("primary_email")),
        )

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return the kinds of records that the API can reach."""
        reply = await self.zoho.call(Call("GET", _MODULES))
        if not isinstance(reply, Reply) or "modules" not in reply.fields:
            return trouble(reply, self.zoho.now())
        return [
            Module(
                name,
                text(one.get("plural_label")) or name,
                synced=name == "Contacts",
                creatable=one.get("creatable") is True,
                custom=text(one.get("generated_type")) == "custom",
            )
            for one in mappings(reply.fields["modules"])
            if (name := text(one.get("api_name"))) and one.get("api_supported") is not False
        ]

    async def refresh_token(self) -> datetime | Trouble | None:
        """Renew the access token now; ten in ten minutes are the most."""
        grant = await self.zoho.access.renew()
        return grant.expire_time if isinstance(grant, Grant) else trouble(grant, self.zoho.now())


def _is_granted(reply: Reply) -> bool:
    found = reply.status == HTTPStatus.OK and bool(reply.fields)
    return found or reply.status == HTTPStatus.NO_CONTENT
