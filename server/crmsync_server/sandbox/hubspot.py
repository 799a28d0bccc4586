"""A simulated HubSpot: contacts, their batches and properties, with HubSpot's rate limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.hubspot_errors import (
    HubSpotError,
    answer_error,
    answer_routing_error,
    rate_limited,
)
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.hubspot_writes import (
    Input,
    Verb,
    Writer,
    parse_inputs,
    record_json,
)
from crmsync_server.sandbox.limits import DailyQuota, RollingWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_CONTACTS = "/crm/v3/objects/contacts"
_PROPERTIES = "/crm/v3/properties/contacts"
_SHOWN = frozenset(
    {"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"}
)
_MAX_PAGE = 100
_BURST = "TEN_SECONDLY_ROLLING"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSettings:
    """A portal's account: limits as of the Professional edition."""

    token: str = "sandbox-hubspot-token"  # noqa: S105 - opens nothing but the simulator
    portal_id: int = 4242
    time_zone: str = "America/New_York"
    """The daily limit starts anew at midnight here."""
    burst_limit: int = 190
    burst_seconds: float = 10
    daily_limit: int = 625_000
    upsert_clears_omitted: bool = False
    """Whether an upsert erases what it does not mention; HubSpot does not say that it keeps it."""
    faults: FaultSettings = field(default_factory=FaultSettings)


class HubSpot:
    """One HubSpot portal, in memory."""

    name = "hubspot"

    def __init__(self, settings: HubSpotSettings, clock: Clock) -> None:
        """Open an empty portal."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, properties added and limits taken."""
        self.portal = Portal(self._clock)
        self._writer = Writer(
            self.portal,
            self.faults,
            self.calls,
            upsert_clears_omitted=self.settings.upsert_clears_omitted,
        )
        self._burst = RollingWindow(self.settings.burst_limit, self.settings.burst_seconds)
        self._daily = DailyQuota(self.settings.daily_limit, ZoneInfo(self.settings.time_zone))

    async def start(self) -> None:
        """Do nothing: a portal has no background work."""

    async def stop(self) -> None:
        """Do nothing: a portal has no background work."""

    def contacts(self) -> Iterator[JsonObject]:
        """Yield `{id, email, properties, archived, times_created, times_updated}` of each."""
        return self.portal.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with HubSpot's error bodies."""
        handlers = {HubSpotError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return HubSpot's paths, and the one that merges two contacts."""
        return [
            Route("/account-info/v3/details", self.read_account, methods=["GET"]),
            Route(_PROPERTIES, self.list_properties, methods=["GET"]),
            Route(_PROPERTIES, self.create_property, methods=["POST"]),
            Route(_CONTACTS, self.list_contacts, methods=["GET"]),
            Route(_CONTACTS, self.create_contact, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/read", self.read_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/create", self.create_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/update", self.update_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/upsert", self.upsert_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/{{id}}", self.read_contact, methods=["GET"]),
            Route(f"{_CONTACTS}/{{id}}", self.update_contact, methods=["PATCH"]),
            Route(f"{_CONTACTS}/{{id}}", self.delete_contact, methods=["DELETE"]),
            Route("/_sandbox/merge", self.merge, methods=["POST"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or properties."""
        return method != "GET" and not path.endswith("/batch/read")

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a wrong or expired bearer token with 401."""
        if self.faults.settings.token_expired:
            message = "The OAuth token used to make this call expired 1 second(s) ago."
            return HubSpotError(401, message, category="EXPIRED_AUTHENTICATION").as_response()
        if request.headers.get("authorization") == f"Bearer {self.settings.token}":
            return None
        message = "Authentication credentials not found."
        return HubSpotError(401, message).as_response()

    def admit(self, _: Request) -> Admission:
        """Count a request against the ten-second and the daily limit."""
        now = self._clock()
        if not self._daily.has_room(now):
            return Admission(self._limit_headers(), rate_limited("DAILY"))
        if not self._burst.has_room(now):
            return Admission(self._limit_headers(), rate_limited(_BURST))
        self._daily.take(now)
        self._burst.take(now)
        return Admission(self._limit_headers())

    def failure(self, fault: Fault) -> Response:
        """Return HubSpot's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["Retry-After"] = str(fault.retry_after_seconds)
        if fault.status == 429:  # noqa: PLR2004 - HTTP's own number
            return rate_limited(fault.policy or _BURST, headers)
        return HubSpotError(fault.status, "The request could not be served").as_response(headers)

    async def read_account(self, _: Request) -> Response:
        """Return which portal the token belongs to."""
        offset = self._clock().astimezone(ZoneInfo(self.settings.time_zone)).strftime("%z")
        return JSONResponse(
            {
                "portalId": self.settings.portal_id,
                "accountType": "STANDARD",
                "timeZone": self.settings.time_zone,
                "utcOffset": f"{offset[:3]}:{offset[3:]}",
                "dataHostingLocation": "na1",
            }
        )

    async def list_properties(self, _: Request) -> Response:
        """Return every property's definition."""
        definitions = self.portal.definitions.values()
        return JSONResponse({"results": [definition.as_json() for definition in definitions]})

    async def create_property(self, request: Request) -> Response:
        """Add a property."""
        definition = PropertyDefinition.parse(await _body(request))
        if definition.name in self.portal.definitions:
            raise HubSpotError(409, f"Property {definition.name} already exists")
        self.portal.definitions[definition.name] = definition
        return JSONResponse(definition.as_json(), status_code=201)

    async def list_contacts(self, request: Request) -> Response:
        """Return one page of contacts, in the order of their ids."""
        limit = _integer(request, "limit", 10)
        if not 1 <= limit <= _MAX_PAGE:
            raise HubSpotError(400, f"Page size must be between 1 and {_MAX_PAGE}")
        after = _integer(request, "after", 0)
        archived = request.query_params.get("archived") == "true"
        held = [
            contact
            for contact in self.portal.contacts.values()
            if contact.archived == archived and int(contact.id) > after
        ]
        page = held[:limit]
        results = [record_json(contact, _shown(request)) for contact in page]
        body: JsonObject = {"results": results}
        if len(held) > limit:
            following = request.url.include_query_params(after=page[-1].id)
            body["paging"] = {"next": {"after": page[-1].id, "link": str(following)}}
        return JSONResponse(body)

    async def create_contact(self, request: Request) -> Response:
        """Add one contact."""
        item = Input.parse(await _body(request), with_id=False)
        return JSONResponse(self._writer.write("create", item), status_code=201)

    async def read_contact(self, request: Request) -> Response:
        """Return one contact by record id, or by a unique property."""
        return JSONResponse(record_json(self._contact(request), _shown(request)))

    async def update_contact(self, request: Request) -> Response:
        """Change the properties of one contact that are named."""
        contact = self._contact(request)
        changes = Input.parse(await _body(request), with_id=False)
        item = Input(changes.properties, contact.id)
        return JSONResponse(self._writer.write("update", item))

    async def delete_contact(self, request: Request) -> Response:
        """Archive one contact."""
        self.portal.archive(self._contact(request))
        return Response(status_code=204)

    async def read_batch(self, request: Request) -> Response:
        """Return the contacts asked for that exist, and one error for those that do not."""
        started = self._clock()
        body = await _body(request)
        shown = set(body.get("properties") or _SHOWN)
        found: dict[str, PortalContact] = {}
        missing: list[str] = []
        for item in parse_inputs(body):
            key = str(item.get("id")) if isinstance(item, dict) else str(item)
            contact = self.portal.find(key, body.get("idProperty"))
            if contact is None:
                missing.append(key)
            else:
                found[contact.id] = contact
        results = [record_json(contact, shown) for contact in reversed(found.values())]
        errors = [_not_found(missing)] if missing else []
        return self._batch_response(200, results, errors, isoformat(started))

    async def create_batch(self, request: Request) -> Response:
        """Add up to 100 contacts."""
        return await self._write_batch("create", request)

    async def update_batch(self, request: Request) -> Response:
        """Change up to 100 contacts, by record id."""
        return await self._write_batch("update", request)

    async def upsert_batch(self, request: Request) -> Response:
        """Add or change up to 100 contacts, by email or another unique property."""
        return await self._write_batch("upsert", request)

    async def merge(self, request: Request) -> Response:
        """Merge `{primary, secondary}`, two record ids, into a new contact; both are retired."""
        body = await _body(request)
        primary = self.portal.find(str(body.get("primary")))
        secondary = self.portal.find(str(body.get("secondary")))
        if primary is None or secondary is None or primary is secondary:
            raise HubSpotError(404, "primary and secondary must be two contacts that exist")
        merged = self.portal.merge(primary, secondary)
        return JSONResponse(record_json(merged, set(merged.all_properties())))

    async def _write_batch(self, verb: Verb, request: Request) -> Response:
        started = isoformat(self._clock())
        items = parse_inputs(await _body(request))
        inputs = [Input.parse(item, with_id=verb != "create") for item in items]
        results, errors = self._writer.write_batch(verb, inputs)
        status = 201 if verb == "create" else 200
        return self._batch_response(status, results, errors, started)

    def _batch_response(
        self, status: int, results: list[JsonObject], errors: list[JsonObject], started: str
    ) -> Response:
        body: JsonObject = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": started,
            "completedAt": isoformat(self._clock()),
        }
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return JSONResponse(body, status_code=207 if errors else status)

    def _contact(self, request: Request) -> PortalContact:
        key = request.path_params["id"]
        contact = self.portal.find(key, request.query_params.get("idProperty"))
        if contact is None:
            raise HubSpotError(404, "resource not found", context={"id": [key]})
        return contact

    def _limit_headers(self) -> dict[str, str]:
        now = self._clock()
        return {
            "X-HubSpot-RateLimit-Max": str(self._burst.limit),
            "X-HubSpot-RateLimit-Remaining": str(self._burst.remaining(now)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self._burst.seconds * 1000)),
            "X-HubSpot-RateLimit-Daily": str(self._daily.limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self._daily.remaining(now)),
        }


async def _body(request: Request) -> JsonObject:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HubSpotError(415, "Unsupported media type; expected application/json")
    try:
        return parse_object(await request.body())
    except MalformedBodyError as error:
        raise HubSpotError(400, f"Invalid input JSON: {error}") from error


def _integer(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise HubSpotError(400, f"{name} must be an integer")
    return int(value)


def _shown(request: Request) -> set[str]:
    named = ",".join(request.query_params.getlist("properties"))
    return (
        {*named.split(","), "createdate", "hs_object_id", "lastmodifieddate"}
        if named
        else set(_SHOWN)
    )


def _not_found(ids: list[str]) -> JsonObject:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some CONTACT objects, they may be deleted or not exist.",
        "context": {"ids": ids},
    }
