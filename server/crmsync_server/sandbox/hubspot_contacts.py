"""HubSpot's contact paths: one record, a page of them, and batches; and merging two of them."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_errors import HubSpotError, read_body
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact
from crmsync_server.sandbox.hubspot_writes import (
    ALWAYS_SHOWN,
    SHOWN,
    Input,
    Verb,
    Writer,
    parse_inputs,
    record_json,
    strings,
)
from crmsync_server.sandbox.wire import JsonObject

_CONTACTS = "/crm/v3/objects/contacts"
_MAX_PAGE = 100


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What a merge does to ids: see `Portal.merge`."""

    new_id: bool
    leads_on: bool


class ContactPaths:
    """The handlers under /crm/v3/objects/contacts."""

    def __init__(self, portal: Portal, writer: Writer, merging: MergeRules, clock: Clock) -> None:
        """Serve this portal."""
        self._portal = portal
        self._writer = writer
        self._merging = merging
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the paths; the fixed ones stand before `{id}`."""
        return [
            Route(_CONTACTS, self.list_contacts, methods=["GET"]),
            Route(_CONTACTS, self.create_contact, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/read", self.read_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/create", self.create_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/update", self.update_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/upsert", self.upsert_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/batch/archive", self.archive_batch, methods=["POST"]),
            Route(f"{_CONTACTS}/merge", self.merge, methods=["POST"]),
            Route(f"{_CONTACTS}/{{id}}", self.read_contact, methods=["GET"]),
            Route(f"{_CONTACTS}/{{id}}", self.update_contact, methods=["PATCH"]),
            Route(f"{_CONTACTS}/{{id}}", self.delete_contact, methods=["DELETE"]),
            Route("/_sandbox/merge", self.merge_for_good, methods=["POST"]),
        ]

    async def list_contacts(self, request: Request) -> Response:
        """Return one page of contacts, in the order of their ids."""
        limit = _integer(request, "limit", 10)
        if not 1 <= limit <= _MAX_PAGE:
            raise HubSpotError(400, f"Page size must be between 1 and {_MAX_PAGE}")
        after = _integer(request, "after", 0)
        archived = request.query_params.get("archived") == "true"
        ids = self._portal.deleted if archived else self._portal.live
        found = ids.after(after, limit + 1)
        page = [self._portal.contacts[str(number)] for number in found[:limit]]
        shown, blanks = _shown(request), _named(request) & self._portal.definitions.keys()
        results = [record_json(contact, shown, blanks) for contact in page]
        body: JsonObject = {"results": results}
        if len(found) > limit:
            following = request.url.include_query_params(after=page[-1].id)
            body["paging"] = {"next": {"after": page[-1].id, "link": str(following)}}
        return JSONResponse(body)

    async def create_contact(self, request: Request) -> Response:
        """Add one contact."""
        item = Input.parse(await read_body(request), with_id=False)
        return JSONResponse(self._writer.write("create", item), status_code=201)

    async def read_contact(self, request: Request) -> Response:
        """Return one contact by record id, or by a unique property."""
        return JSONResponse(record_json(self._contact(request), _shown(request)))

    async def update_contact(self, request: Request) -> Response:
        """Change the properties of one contact that are named."""
        contact = self._contact(request)
        changes = Input.parse(await read_body(request), with_id=False)
        item = Input(changes.properties, contact.id)
        return JSONResponse(self._writer.write("update", item))

    async def delete_contact(self, request: Request) -> Response:
        """Archive one contact."""
        self._portal.archive(self._contact(request))
        return Response(status_code=204)

    async def read_batch(self, request: Request) -> Response:
        """Return the contacts asked for that exist, and one error for those that do not.

        With `archived=true` those that were deleted.
        """
        started = self._clock()
        body = await read_body(request)
        shown = set(strings(body, "properties")) or set(SHOWN)
        id_property = str(body["idProperty"]) if "idProperty" in body else None
        archived = request.query_params.get("archived") == "true"
        found: dict[str, PortalContact] = {}
        missing: list[str] = []
        for item in parse_inputs(body):
            key = str(item.get("id")) if isinstance(item, dict) else str(item)
            contact = self._departed(key) if archived else self._portal.find(key, id_property)
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

    async def archive_batch(self, request: Request) -> Response:
        """Archive up to 100 contacts; those that are none are passed over."""
        for item in parse_inputs(await read_body(request)):
            contact = self._portal.find(str(item.get("id")) if isinstance(item, dict) else "")
            if contact is not None:
                self._portal.archive(contact)
        return Response(status_code=204)

    async def merge(self, request: Request) -> Response:
        """Merge the contact `objectIdToMerge` into `primaryObjectId`."""
        primary, other = await self._pair(request, "primaryObjectId", "objectIdToMerge")
        rules = self._merging
        survivor = self._portal.merge(primary, other, new_id=rules.new_id, leads_on=rules.leads_on)
        return JSONResponse(record_json(survivor, set(SHOWN)))

    async def merge_for_good(self, request: Request) -> Response:
        """Merge `{primary, secondary}`, two record ids, into a new contact; both lead nowhere."""
        primary, other = await self._pair(request, "primary", "secondary")
        merged = self._portal.merge(primary, other)
        return JSONResponse(record_json(merged, set(merged.all_properties())))

    async def _pair(
        self, request: Request, first: str, second: str
    ) -> tuple[PortalContact, PortalContact]:
        body = await read_body(request)
        one, other = (self._portal.find(str(body.get(name))) for name in (first, second))
        if one is None or other is None or one is other:
            raise HubSpotError(404, f"{first} and {second} must be two contacts that exist")
        return one, other

    async def _write_batch(self, verb: Verb, request: Request) -> Response:
        started = isoformat(self._clock())
        items = parse_inputs(await read_body(request))
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

    def _departed(self, key: str) -> PortalContact | None:
        contact = self._portal.contacts.get(key)
        return contact if contact and contact.archived and not contact.merged_into else None

    def _contact(self, request: Request) -> PortalContact:
        key = request.path_params["id"]
        contact = self._portal.find(key, request.query_params.get("idProperty"))
        if contact is None:
            raise HubSpotError(404, "resource not found", context={"id": [key]})
        return contact


def _integer(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise HubSpotError(400, f"{name} must be an integer")
    return int(value)


def _named(request: Request) -> set[str]:
    return set(",".join(request.query_params.getlist("properties")).split(",")) - {""}


def _shown(request: Request) -> set[str]:
    named = _named(request)
    return named | ALWAYS_SHOWN if named else set(SHOWN)


def _not_found(ids: list[str]) -> JsonObject:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some CONTACT objects, they may be deleted or not exist.",
        "context": {"ids": ids},
    }
