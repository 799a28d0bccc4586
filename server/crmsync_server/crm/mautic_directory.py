"""What a Mautic is: its contact fields, whose instance it is, and what its user may."""

from collections.abc import Iterable, Mapping, Sequence
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
from crmsync_server.crm.mautic_calls import CONTACTS, SELF, Mautic
from crmsync_server.crm.mautic_errors import reason, words
from crmsync_server.crm.mautic_fields import MADE, body, field_of, is_on, wrong
from crmsync_server.crm.mautic_replies import indexed
from crmsync_server.crm.outcomes import Rejected
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, count, mapping, mappings, text, texts

_FIELDS = "/api/fields/contact"
# What it tells needs no more than the permission to see contacts.
_FIELDS_IN_BRIEF = "/api/contacts/list/fields"
_PAGE = 500
_PAGES = 20
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


class MauticDirectory:
    """The instance as its owner sees it."""

    def __init__(self, mautic: Mautic) -> None:
        """Take the instance's calls; nothing is called yet."""
        self._mautic = mautic

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the published fields; less of each where the user may not administer them."""
        found = await self._definitions()
        if isinstance(found, Rejected) and found.code == "FORBIDDEN":
            found = await self._in_brief()
        if not isinstance(found, list):
            return found
        return [field_of(one) for one in found if is_on(one.get("isPublished", True))]

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make fields one by one: Mautic alters its table for each, which takes a while."""
        found = await self._definitions()
        if not isinstance(found, list):
            return found
        held = {text(one.get("alias")): text(one.get("type")) for one in found}
        results: list[FieldResult] = []
        for field in fields:
            result = await self._created(field, held)
            if not isinstance(result, FieldResult):
                return result
            if result.status is FieldStatus.CREATED:
                held[result.name] = MADE[field.type]
            results.append(result)
        return results

    async def _created(self, field: NewField, held: Mapping[str, str]) -> FieldResult | Trouble:
        if told := wrong(field):
            return FieldResult(field.name, FieldStatus.FAILED, *told)
        if field.name in held:
            return _compared(field, held[field.name])
        reply = await self._mautic.call("POST", f"{_FIELDS}/new", json=body(field))
        if not isinstance(reply, Reply):
            return unanswered(reply)
        made = mapping(reply.fields.get("field"))
        if reply.status in {HTTPStatus.OK, HTTPStatus.CREATED} and made:
            return FieldResult(text(made.get("alias")) or field.name, FieldStatus.CREATED)
        if reply.status in _REFUSED and reply.fields:
            return await self._refused(field, reply)
        return self._mautic.lacking(reply)

    async def _refused(self, field: NewField, reply: Reply) -> FieldResult | Trouble:
        """Look again: somebody else may have made it in between."""
        found = await self._definitions()
        if not isinstance(found, list):
            return found
        held = {text(one.get("alias")): text(one.get("type")) for one in found}
        if field.name in held:
            return _compared(field, held[field.name])
        errors = mappings(reply.fields.get("errors"))
        message = "; ".join(filter(None, map(reason, errors))) or words(reply)
        return FieldResult(field.name, FieldStatus.FAILED, f"HTTP_{reply.status}", message)

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Read the user, a contact and a field; what the user's role tells, it decides."""
        user = await self._user()
        if not isinstance(user, Reply):
            return user
        may: dict[str, bool] = {}
        for name, path in (("contacts.read", CONTACTS), ("fields.read", _FIELDS)):
            reply = await self._mautic.ask(path, {"limit": "1", "minimal": "1"})
            if not isinstance(reply, Reply) and reply.code != "FORBIDDEN":
                return reply
            may[name] = isinstance(reply, Reply)
        role = _Role(mapping(user.fields.get("role")))
        return [
            Permission("contacts.read", may["contacts.read"], "lead:leads:viewown"),
            Permission(
                "contacts.read_all", role.may("lead:leads", "viewother"), "lead:leads:viewother"
            ),
            Permission(
                "contacts.write",
                role.may("lead:leads", "create", "editother"),
                "lead:leads:create, lead:leads:editother",
            ),
            Permission("fields.read", may["fields.read"], "lead:fields", needed=False),
            Permission("fields.write", role.may("lead:fields"), "lead:fields:full", needed=False),
        ]

    async def organization(self) -> Organization | Trouble:
        """Return the instance by its address, and the user whose credentials they are."""
        user = await self._user()
        if not isinstance(user, Reply):
            return user
        version = user.headers.get("mautic-version", "")
        return Organization(
            self._mautic.caller.account.base_url,
            name=text(user.fields.get("username")),
            edition=f"Mautic {version}".strip(),
            time_zone=text(user.fields.get("timezone")),
            email=text(user.fields.get("email")),
        )

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return what Mautic keeps, without a call: no instance can have more."""
        return [
            Module("contacts", "Contacts", synced=True),
            Module("companies", "Companies"),
            Module("segments", "Segments"),
            Module("campaigns", "Campaigns"),
        ]

    async def refresh_token(self) -> datetime | Trouble | None:
        """Renew the access token of OAuth2; None for a user's name and password."""
        return await self._mautic.access.renew()

    async def _user(self) -> Reply | Trouble:
        reply = await self._mautic.ask(SELF)
        if isinstance(reply, Reply) and not text(reply.fields.get("id")):
            return self._mautic.lacking(reply)
        return reply

    async def _in_brief(self) -> list[Mapping[str, object]] | Trouble:
        reply = await self._mautic.ask(_FIELDS_IN_BRIEF)
        if not isinstance(reply, Reply):
            return reply
        return _of_contacts(_listed(reply)) or self._mautic.lacking(reply)

    async def _definitions(self) -> list[Mapping[str, object]] | Trouble:
        found: dict[str, Mapping[str, object]] = {}
        for _ in range(_PAGES):
            params = {"start": str(len(found)), "limit": str(_PAGE), "orderBy": "id"}
            reply = await self._mautic.ask(_FIELDS, params)
            if not isinstance(reply, Reply):
                return reply
            before = len(found)
            found.update({text(one.get("alias")): one for one in _listed(reply)})
            if not found:
                # Every Mautic has fields of its own: none is no answer.
                return self._mautic.lacking(reply)
            total = count(text(reply.fields.get("total"))) or 0
            if len(found) >= total or len(found) == before:
                break
        return _of_contacts(found.values())


def _listed(reply: Reply) -> list[Mapping[str, object]]:
    """Return the fields of a reply, which has them by number or in a list, or so under a name."""
    listed = reply.fields.get("fields", reply.body)
    return [one for one in indexed(listed).values() if text(one.get("alias"))]


def _of_contacts(fields: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
    return [one for one in fields if text(one.get("object")) in {"", "lead"}]


class _Role:
    """What Mautic tells of a user's role: all of it, or only whether it is an administrator's."""

    def __init__(self, told: Mapping[str, object]) -> None:
        self._is_admin = is_on(told.get("isAdmin"))
        raw = told.get("rawPermissions")
        self._permissions = raw if isinstance(raw, dict) else None

    def may(self, what: str, *actions: str) -> bool | None:
        """Tell whether it allows all of these; None where Mautic does not tell."""
        if self._is_admin:
            return True
        if self._permissions is None:
            return None
        granted = set(texts(self._permissions.get(what)))
        return "full" in granted or (bool(actions) and granted.issuperset(actions))


def _compared(field: NewField, held: str) -> FieldResult:
    if held == MADE[field.type]:
        return FieldResult(field.name, FieldStatus.EXISTS)
    told = f"it is there as {held or 'something else'}, not as {MADE[field.type]}"
    return FieldResult(field.name, FieldStatus.MISMATCH, "TYPE_MISMATCH", told)
