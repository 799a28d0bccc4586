"""A simulated Brevo: contacts, their attributes and imports, with Brevo's rate limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.brevo_account import EMAIL, EXT_ID, Account, AccountContact
from crmsync_server.sandbox.brevo_attributes import TYPES
from crmsync_server.sandbox.brevo_errors import (
    INVALID,
    MISSING,
    BrevoError,
    answer_error,
    answer_routing_error,
)
from crmsync_server.sandbox.brevo_imports import REPORT_NAMES, ImportProcess, Imports
from crmsync_server.sandbox.brevo_limits import LimitClass
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.limits import FixedWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_HOUR_SECONDS = 3600
_MAX_PAGE = 1000
_MAX_IMPORT_BYTES = 10 * 1024 * 1024
_REPORTS_PREFIX = "/reports/"
_IDENTIFIER_TYPES = {
    "email_id": EMAIL,
    "phone_id": "SMS",
    "ext_id": EXT_ID,
    "whatsapp_id": "WHATSAPP",
    "landline_number_id": "LANDLINE_NUMBER",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrevoSettings:
    """An account: limits as of the General plan."""

    api_key: str = "xkeysib-sandbox"
    contacts_per_second: int = 10
    contacts_per_hour: int = 36_000
    others_per_hour: int = 100
    import_base_seconds: float = 0.2
    """What every import takes, however small."""
    import_seconds_per_row: float = 0.0002
    batch_index_base: int = 0
    """What the first contact of a batch is called in "No contact found for indexes"."""
    faults: FaultSettings = field(default_factory=FaultSettings)


class Brevo:
    """One Brevo account, in memory."""

    name = "brevo"

    def __init__(self, settings: BrevoSettings, clock: Clock) -> None:
        """Open an empty account."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.imports = Imports(
            self.faults,
            self.calls,
            base_seconds=settings.import_base_seconds,
            seconds_per_row=settings.import_seconds_per_row,
        )
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, attributes added, imports and limits taken."""
        settings = self.settings
        self.account = Account(self._clock)
        self.imports.clear()
        self._contacts_limits = LimitClass(
            [
                FixedWindow(settings.contacts_per_second, 1),
                FixedWindow(settings.contacts_per_hour, _HOUR_SECONDS),
            ]
        )
        self._other_limits = LimitClass([FixedWindow(settings.others_per_hour, _HOUR_SECONDS)])

    async def start(self) -> None:
        """Begin to apply imports."""
        await self.imports.start()

    async def stop(self) -> None:
        """Stop applying imports."""
        await self.imports.stop()

    def contacts(self) -> Iterator[JsonObject]:
        """Yield each contact as Brevo prints it, with `times_created` and `times_updated`."""
        return self.account.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with Brevo's error bodies."""
        handlers = {BrevoError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return Brevo's paths, and the one its report files are under."""
        return [
            Route("/v3/account", self.read_account, methods=["GET"]),
            Route("/v3/contacts", self.list_contacts, methods=["GET"]),
            Route("/v3/contacts", self.create_contact, methods=["POST"]),
            Route("/v3/contacts/batch", self.update_batch, methods=["POST"]),
            Route("/v3/contacts/import", self.import_contacts, methods=["POST"]),
            Route("/v3/contacts/attributes", self.list_attributes, methods=["GET"]),
            Route(
                "/v3/contacts/attributes/{category}/{name}",
                self.create_attribute,
                methods=["POST"],
            ),
            Route("/v3/contacts/{identifier}", self.read_contact, methods=["GET"]),
            Route("/v3/contacts/{identifier}", self.update_contact, methods=["PUT"]),
            Route("/v3/contacts/{identifier}", self.delete_contact, methods=["DELETE"]),
            Route("/v3/processes/{id:int}", self.read_process, methods=["GET"]),
            Route(_REPORTS_PREFIX + "{id:int}/{name}.csv", self.read_report, methods=["GET"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or attributes."""
        del path
        return method != "GET"

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a wrong or revoked key with 401; report files need none."""
        if request.url.path.startswith(_REPORTS_PREFIX):
            return None
        expired = self.faults.settings.token_expired
        if not expired and request.headers.get("api-key") == self.settings.api_key:
            return None
        return BrevoError(401, "Key not found").as_response()

    def admit(self, request: Request) -> Admission:
        """Count a request against the limits of its class; report files have none."""
        path = request.url.path
        if path.startswith(_REPORTS_PREFIX):
            return Admission()
        contacts = path == "/v3/contacts" or path.startswith("/v3/contacts/")
        limits = self._contacts_limits if contacts else self._other_limits
        return limits.admit(self._clock())

    def failure(self, fault: Fault) -> Response:
        """Return Brevo's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["x-sib-ratelimit-reset"] = str(fault.retry_after_seconds)
        return BrevoError(fault.status, "The request could not be served").as_response(headers)

    async def read_account(self, _: Request) -> Response:
        """Return whose account the key belongs to."""
        plan = {"type": "free", "credits": 300, "creditsType": "sendLimit"}
        body = {"email": "owner@sandbox.example", "companyName": "Sandbox", "plan": [plan]}
        return JSONResponse(body)

    async def list_contacts(self, request: Request) -> Response:
        """Return one page of contacts, in the order of creation."""
        limit = _integer(request, "limit", 50)
        if not 1 <= limit <= _MAX_PAGE:
            raise BrevoError(400, f"limit must be at most {_MAX_PAGE}", code="out_of_range")
        offset = _integer(request, "offset", 0)
        since = _instant(request, "modifiedSince")
        found = [
            contact
            for contact in self.account.contacts.values()
            if since is None or contact.modified_at >= since
        ]
        if request.query_params.get("sort", "desc") != "asc":
            found.reverse()
        page = [contact.as_json() for contact in found[offset : offset + limit]]
        return JSONResponse({"contacts": page, "count": len(found)})

    async def create_contact(self, request: Request) -> Response:
        """Add one contact, or with `updateEnabled` change the one that has its identifiers."""
        body = await _body(request)
        change = self.account.parse(body)
        self._check_accepted(change.identifiers.get(EMAIL, ""))
        contact = self.account.match(change)
        update = body.get("updateEnabled") is True
        self.account.check_free(contact if update else None, change)
        if contact is not None:
            self._update(contact, body)
            return Response(status_code=204)
        contact = self.account.create(change)
        self.calls.records_created += 1
        return JSONResponse({"id": contact.id}, status_code=201)

    async def read_contact(self, request: Request) -> Response:
        """Return one contact."""
        return JSONResponse(self._contact(request).as_json())

    async def update_contact(self, request: Request) -> Response:
        """Change one contact; `EMAIL` among its attributes changes its email."""
        self._update(self._contact(request), await _body(request))
        return Response(status_code=204)

    async def delete_contact(self, request: Request) -> Response:
        """Remove one contact."""
        self.account.delete(self._contact(request))
        return Response(status_code=204)

    async def update_batch(self, request: Request) -> Response:
        """Change contacts that exist; if one does not, change none."""
        items = (await _body(request)).get("contacts")
        if not isinstance(items, list) or not items:
            raise BrevoError(400, "contacts is missing", code=MISSING)
        targets = [self._batch_target(item) for item in items]
        base = self.settings.batch_index_base
        unknown = [str(index) for index, found in enumerate(targets, base) if found is None]
        if unknown:
            raise BrevoError(404, f"No contact found for indexes {','.join(unknown)}")
        found = [contact for contact in targets if contact is not None]
        for contact, item in zip(found, items, strict=True):
            self._check_update(contact, item)
        for contact, item in zip(found, items, strict=True):
            self._update(contact, item)
        return Response(status_code=204)

    async def import_contacts(self, request: Request) -> Response:
        """Accept rows to be applied later."""
        if len(await request.body()) > _MAX_IMPORT_BYTES:
            raise BrevoError(400, "The import is larger than 10 MB", code="out_of_range")
        process = self.imports.submit(self.account, await _body(request))
        return JSONResponse({"processId": process.id}, status_code=202)

    async def read_process(self, request: Request) -> Response:
        """Return how far an import is, and where its reports are once it is completed."""
        process = self.imports.find(request.path_params["id"])
        body: JsonObject = {"id": process.id, "status": process.status, "name": "import"}
        if process.status == "completed":
            body["info"] = {"import": _report_urls(request, process)}
        return JSONResponse(body)

    async def read_report(self, request: Request) -> Response:
        """Return one report of a completed import."""
        process = self.imports.find(request.path_params["id"])
        name = request.path_params["name"]
        if process.status != "completed" or name not in process.reports:
            raise BrevoError(404, "There is no such report")
        return PlainTextResponse(process.report(name), media_type="text/csv")

    async def list_attributes(self, _: Request) -> Response:
        """Return every attribute's definition."""
        return JSONResponse({"attributes": list(self.account.attributes.values())})

    async def create_attribute(self, request: Request) -> Response:
        """Add an attribute."""
        body = await _body(request)
        name, category = request.path_params["name"].upper(), request.path_params["category"]
        if name in self.account.attributes:
            raise BrevoError(400, "Attribute name must be unique", code=INVALID)
        if category == "normal" and body.get("type") not in TYPES:
            raise BrevoError(400, f"type should be one of {', '.join(TYPES)}", code=INVALID)
        kept = {key: body[key] for key in ("type", "enumeration") if key in body}
        self.account.attributes[name] = kept | {"name": name, "category": category}
        return JSONResponse({}, status_code=201)

    def _update(self, contact: AccountContact, body: JsonObject) -> None:
        self._check_update(contact, body)
        self.account.update(contact, self.account.parse(body))
        self.calls.records_updated += 1

    def _check_update(self, contact: AccountContact, body: JsonObject) -> None:
        change = self.account.parse(body)
        self._check_accepted(contact.identifiers.get(EMAIL, ""))
        self.account.check_free(contact, change)

    def _check_accepted(self, email: str) -> None:
        if self.faults.rejects(email):
            raise BrevoError(400, "Invalid email address", code=INVALID)

    def _batch_target(self, item: object) -> AccountContact | None:
        if not isinstance(item, dict) or len(item.keys() & {EMAIL, "id", "sms"}) != 1:
            raise BrevoError(
                400, "Each contact takes exactly one of email, id and sms", code=INVALID
            )
        if "id" in item:
            return self.account.contacts.get(item["id"])
        if EMAIL in item:
            return self.account.find(EMAIL, str(item[EMAIL]))
        return self.account.find("SMS", str(item["sms"]))

    def _contact(self, request: Request) -> AccountContact:
        identifier = request.path_params["identifier"]
        contact = self._find(identifier, request.query_params.get("identifierType"))
        if contact is None:
            raise BrevoError(404, "Contact does not exist")
        return contact

    def _find(self, identifier: str, kind: str | None) -> AccountContact | None:
        if kind in _IDENTIFIER_TYPES:
            return self.account.find(_IDENTIFIER_TYPES[kind], identifier)
        if kind not in (None, "contact_id"):
            raise BrevoError(400, f"identifierType {kind} is unknown", code=INVALID)
        if identifier.isdecimal() and int(identifier) in self.account.contacts:
            return self.account.contacts[int(identifier)]
        if kind is not None:
            return None
        return self.account.find(EMAIL if "@" in identifier else "SMS", identifier)


async def _body(request: Request) -> JsonObject:
    try:
        return parse_object(await request.body())
    except MalformedBodyError as error:
        raise BrevoError(400, f"Input must be a valid JSON object: {error}") from error


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


def _report_urls(request: Request, process: ImportProcess) -> dict[str, str]:
    base = f"{request.base_url}{_REPORTS_PREFIX.lstrip('/')}{process.id}"
    return {name: f"{base}/{name}.csv" for name in REPORT_NAMES}
