"""Brevo's contact paths: one contact, a page of them, a batch of updates, and their attributes."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_attributes import TYPES
from crmsync_server.sandbox.brevo_errors import (
    INVALID,
    MISSING,
    BrevoError,
    duplicate_error,
    read_body,
)
from crmsync_server.sandbox.brevo_records import EMAIL, EXT_ID, AccountContact, Identifier
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.timeline import milliseconds
from crmsync_server.sandbox.wire import JsonObject

_MAX_PAGE = 1000
_IDENTIFIER_TYPES = {
    "email_id": EMAIL,
    "phone_id": "SMS",
    "ext_id": EXT_ID,
    "whatsapp_id": "WHATSAPP",
    "landline_number_id": "LANDLINE_NUMBER",
}


class ContactPaths:
    """The handlers under /v3/contacts, but for imports."""

    def __init__(
        self, account: Account, faults: FaultDial, calls: CallLog, *, batch_index_base: int
    ) -> None:
        """Serve this account; the dial decides which records it finds invalid."""
        self._account = account
        self._faults = faults
        self._calls = calls
        self._batch_index_base = batch_index_base

    def routes(self) -> list[Route]:
        """Return the paths; the fixed ones stand before `{identifier}`."""
        return [
            Route("/v3/contacts", self.list_contacts, methods=["GET"]),
            Route("/v3/contacts", self.create_contact, methods=["POST"]),
            Route("/v3/contacts/batch", self.update_batch, methods=["POST"]),
            Route("/v3/contacts/attributes", self.list_attributes, methods=["GET"]),
            Route(
                "/v3/contacts/attributes/{category}/{name}",
                self.create_attribute,
                methods=["POST"],
            ),
            Route("/v3/contacts/{identifier}", self.read_contact, methods=["GET"]),
            Route("/v3/contacts/{identifier}", self.update_contact, methods=["PUT"]),
            Route("/v3/contacts/{identifier}", self.delete_contact, methods=["DELETE"]),
        ]

    async def list_contacts(self, request: Request) -> Response:
        """Return one page of contacts, in the order of creation."""
        limit = _integer(request, "limit", 50)
        if not 1 <= limit <= _MAX_PAGE:
            raise BrevoError(400, f"limit must be at most {_MAX_PAGE}", code="out_of_range")
        offset = _integer(request, "offset", 0)
        found = self._since(_instant(request, "createdSince"), _instant(request, "modifiedSince"))
        if request.query_params.get("sort", "desc") != "asc":
            found = found[::-1]
        page = [self._account.contacts[one].as_json() for one in found[offset : offset + limit]]
        return JSONResponse({"contacts": page, "count": len(found)})

    async def create_contact(self, request: Request) -> Response:
        """Add one contact, or with `updateEnabled` change the one that has its identifiers."""
        body = await read_body(request)
        change = self._account.parse(body)
        self._check_accepted(change.identifiers.get(EMAIL, ""))
        contact = self._account.match(change)
        update = body.get("updateEnabled") is True
        self._account.check_free(contact if update else None, change)
        if contact is not None:
            self._update(contact, body)
            return Response(status_code=204)
        contact = self._account.create(change)
        self._calls.records_created += 1
        return JSONResponse({"id": contact.id}, status_code=201)

    async def read_contact(self, request: Request) -> Response:
        """Return one contact."""
        return JSONResponse(self._contact(request).as_json())

    async def update_contact(self, request: Request) -> Response:
        """Change one contact; `EMAIL` among its attributes changes its email."""
        # Only its attributes can change a contact's email.
        changes = {key: value for key, value in (await read_body(request)).items() if key != EMAIL}
        self._update(self._contact(request), changes)
        return Response(status_code=204)

    async def delete_contact(self, request: Request) -> Response:
        """Remove one contact."""
        self._account.delete(self._contact(request))
        return Response(status_code=204)

    async def update_batch(self, request: Request) -> Response:
        """Change contacts that exist; if one does not, change none."""
        items = (await read_body(request)).get("contacts")
        if not isinstance(items, list) or not items:
            raise BrevoError(400, "contacts is missing", code=MISSING)
        targets = [self._batch_target(item) for item in items]
        base = self._batch_index_base
        unknown = [str(index) for index, found in enumerate(targets, base) if found is None]
        if unknown:
            raise BrevoError(404, f"No contact found for indexes {','.join(unknown)}")
        found = [contact for contact in targets if contact is not None]
        self._check_batch(found, items)
        for contact, item in zip(found, items, strict=True):
            self._update(contact, item)
        return Response(status_code=204)

    async def list_attributes(self, _: Request) -> Response:
        """Return every attribute's definition."""
        return JSONResponse({"attributes": list(self._account.attributes.values())})

    async def create_attribute(self, request: Request) -> Response:
        """Add an attribute."""
        body = await read_body(request)
        name, category = request.path_params["name"].upper(), request.path_params["category"]
        if name in self._account.attributes:
            raise BrevoError(400, "Attribute name must be unique", code=INVALID)
        if category == "normal" and body.get("type") not in TYPES:
            raise BrevoError(400, f"type should be one of {', '.join(TYPES)}", code=INVALID)
        kept = {key: body[key] for key in ("type", "enumeration") if key in body}
        self._account.attributes[name] = kept | {"name": name, "category": category}
        return JSONResponse({}, status_code=201)

    def _since(self, created: datetime | None, modified: datetime | None) -> list[int]:
        """Return the ids of the contacts made and changed since then, in the order of creation."""
        account = self._account
        if modified is None:
            if created is None:
                return account.ids.ids
            return account.created.window(milliseconds(created))
        found = account.modified.window(milliseconds(modified))
        if created is None:
            return found
        return [one for one in found if account.contacts[one].created_at >= created]

    def _update(self, contact: AccountContact, body: JsonObject) -> None:
        self._check_update(contact, body)
        self._account.update(contact, self._account.parse(body))
        self._calls.records_updated += 1

    def _check_batch(self, contacts: list[AccountContact], items: list[JsonObject]) -> None:
        claims: dict[Identifier, int] = {}
        for contact, item in zip(contacts, items, strict=True):
            self._check_update(contact, item)
            for identifier in self._account.parse(item).identifiers.items():
                if claims.setdefault(identifier, contact.id) != contact.id:
                    raise duplicate_error([identifier[0]])

    def _check_update(self, contact: AccountContact, body: JsonObject) -> None:
        change = self._account.parse(body)
        self._check_accepted(contact.identifiers.get(EMAIL, ""))
        self._account.check_free(contact, change)

    def _check_accepted(self, email: str) -> None:
        if self._faults.rejects(email):
            raise BrevoError(400, "Invalid email address", code=INVALID)

    def _batch_target(self, item: object) -> AccountContact | None:
        if not isinstance(item, dict) or len(item.keys() & {EMAIL, "id", "sms"}) != 1:
            raise BrevoError(
                400, "Each contact takes exactly one of email, id and sms", code=INVALID
            )
        if "id" in item:
            return self._account.contacts.get(item["id"]) if isinstance(item["id"], int) else None
        if EMAIL in item:
            return self._account.find(EMAIL, str(item[EMAIL]))
        return self._account.find("SMS", str(item["sms"]))

    def _contact(self, request: Request) -> AccountContact:
        identifier = request.path_params["identifier"]
        contact = self._find(identifier, request.query_params.get("identifierType"))
        if contact is None:
            raise BrevoError(404, "Contact does not exist")
        return contact

    def _find(self, identifier: str, kind: str | None) -> AccountContact | None:
        if kind in _IDENTIFIER_TYPES:
            return self._account.find(_IDENTIFIER_TYPES[kind], identifier)
        if kind not in (None, "contact_id"):
            raise BrevoError(400, f"identifierType {kind} is unknown", code=INVALID)
        if identifier.isdecimal() and int(identifier) in self._account.contacts:
            return self._account.contacts[int(identifier)]
        if kind is not None:
            return None
        return self._account.find(EMAIL if "@" in identifier else "SMS", identifier)


def _integer(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise BrevoError(400, f"{name} should be an integer", code=INVALID)
    return int(value)


def _instant(request: Request, name: str) -> datetime | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise BrevoError(400, f"{name} should be YYYY-MM-DDTHH:mm:ss.SSSZ", code=INVALID) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
