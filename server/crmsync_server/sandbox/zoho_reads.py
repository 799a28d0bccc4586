"""Zoho's paths that read contacts: lists, one, deleted ones, search and COQL."""

from collections.abc import Iterable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_columns import printed
from crmsync_server.sandbox.zoho_coql import parse
from crmsync_server.sandbox.zoho_errors import (
    ROOT,
    ZohoError,
    invalid_param,
    limit_exceeded,
    mandatory,
    missing_param,
    read_body,
)
from crmsync_server.sandbox.zoho_fields import EMAIL
from crmsync_server.sandbox.zoho_organization import SECONDARY_EMAIL, Deleted, Organization
from crmsync_server.sandbox.zoho_pages import (
    Listing,
    Pager,
    Place,
    info,
    read_listing,
    read_page,
    read_per_page,
    read_since,
)
from crmsync_server.sandbox.zoho_query import run
from crmsync_server.sandbox.zoho_table import Contact
from crmsync_server.sandbox.zoho_writes import CONTACTS

COQL = "/crm/v8/coql"
_MAX_FIELDS = 50
_MAX_IDS = 100
_UNBOUNDED = 2**63


class ReadPaths:
    """The handlers that read. Search and COQL see what is indexed, all others what is held."""

    def __init__(self, organization: Organization, pager: Pager) -> None:
        """Read this organization, by this pager's pages."""
        self._organization = organization
        self._pager = pager

    def routes(self) -> list[Route]:
        """Return the paths; the fixed ones stand before `{id}`."""
        return [
            Route(CONTACTS, self.list_contacts, methods=["GET"]),
            Route(f"{CONTACTS}/deleted", self.list_deleted, methods=["GET"]),
            Route(f"{CONTACTS}/actions/count", self.count, methods=["GET"]),
            Route(f"{CONTACTS}/search", self.search, methods=["GET"]),
            Route(f"{CONTACTS}/{{id:int}}", self.read, methods=["GET"]),
            Route(COQL, self.query, methods=["POST"]),
        ]

    async def list_contacts(self, request: Request) -> Response:
        """Return a page of contacts, or those that `ids` names."""
        if "ids" in request.query_params:
            return self._list_named(request)
        names = _field_names(request)
        if names is None:
            raise missing_param(name="fields")
        per_page = read_per_page(request)
        listing, place, page = self._place(request, per_page)
        table = self._organization.live
        if not table.contacts:
            return _nothing()
        if listing.since and not self._pager.changed_since(table, listing.since):
            return Response(status_code=HTTPStatus.NOT_MODIFIED)
        contacts, following = self._pager.page(table, listing, place, per_page)
        if not contacts:
            return _nothing()
        said = info(page, per_page, len(contacts), more=following is not None)
        said |= {"sort_by": listing.sort_by}
        said |= {"sort_order": "desc" if listing.descending else "asc"}
        return JSONResponse(
            {"data": self._printed(contacts, names), "info": said | self._next(listing, following)}
        )

    async def read(self, request: Request) -> Response:
        """Return one contact; 204 if there is none, 304 if it did not change."""
        contact = self._organization.live.contacts.get(request.path_params["id"])
        if contact is None:
            return _nothing()
        since = read_since(request)
        if since and contact.modified <= since:
            return Response(status_code=HTTPStatus.NOT_MODIFIED)
        return JSONResponse({"data": self._printed([contact], _field_names(request))})

    async def list_deleted(self, request: Request) -> Response:
        """Return a page of deleted contacts, the newest first."""
        kind = request.query_params.get("type", "all")
        if kind not in {"all", "recycle", "permanent"}:
            raise invalid_param(name="type", message="expected all, recycle or permanent")
        per_page = read_per_page(request)
        page = read_page(request, per_page, _UNBOUNDED)
        gone = [one for one in self._organization.deleted[::-1] if kind in {"all", one.type}]
        since = read_since(request)
        newer = [one for one in gone if since is None or one.at > since]
        if gone and not newer:
            return Response(status_code=HTTPStatus.NOT_MODIFIED)
        found = newer[(page - 1) * per_page : page * per_page]
        if not found:
            return _nothing()
        said = info(page, per_page, len(found), more=page * per_page < len(newer))
        data = [self._printed_deleted(one) for one in found]
        return JSONResponse({"data": data, "info": said})

    async def count(self, _: Request) -> Response:
        """Return how many contacts there are; those in the recycle bin are none."""
        return JSONResponse({"count": len(self._organization.live.contacts)})

    async def search(self, request: Request) -> Response:
        """Return the indexed contacts with an email, in either of its two fields."""
        email = request.query_params.get("email")
        if not email:
            raise missing_param(name="email")
        names = _field_names(request)
        per_page = read_per_page(request)
        page = read_page(request, per_page)
        table = self._organization.index()
        both = [*table.find(EMAIL, email), *table.find(SECONDARY_EMAIL, email)]
        found = list({one.id: one for one in both}.values())
        shown = found[(page - 1) * per_page : page * per_page]
        if not shown:
            return _nothing()
        said = info(page, per_page, len(shown), more=page * per_page < len(found))
        return JSONResponse({"data": self._printed(shown, names), "info": said})

    async def query(self, request: Request) -> Response:
        """Answer a COQL query from what is indexed; of users and other records only the id."""
        text = (await read_body(request)).get("select_query")
        if not isinstance(text, str):
            raise mandatory(ROOT, "select_query")
        fields = self._organization.fields
        query = parse(text, fields)
        contacts, more = run(self._organization.index(), query, fields)
        if not contacts:
            return _nothing()
        data = [_with_bare_ids(one) for one in self._printed(contacts, query.columns)]
        return JSONResponse({"data": data, "info": {"count": len(contacts), "more_records": more}})

    def _list_named(self, request: Request) -> Response:
        ids = request.query_params["ids"].split(",")
        if len(ids) > _MAX_IDS:
            raise limit_exceeded(_MAX_IDS, "too many ids", param_name="ids")
        if not all(one.isdecimal() for one in ids):
            raise invalid_param(name="ids", message="an id is a number")
        held = self._organization.live.contacts
        found = [held[int(one)] for one in dict.fromkeys(ids) if int(one) in held]
        if not found:
            return _nothing()
        said = info(1, len(ids), len(found), more=False)
        data = self._printed(found, _field_names(request))
        return JSONResponse({"data": data, "info": said})

    def _place(self, request: Request, per_page: int) -> tuple[Listing, Place, int]:
        """Return which list is read, from where, and the number of the page."""
        token = request.query_params.get("page_token")
        if token is None:
            page = read_page(request, per_page)
            return read_listing(request), Place((page - 1) * per_page), page
        if "page" in request.query_params:
            due_to = [{"param_name": "page"}, {"param_name": "page_token"}]
            message = "page and page_token exclude each other"
            raise ZohoError(400, "AMBIGUITY_DURING_PROCESSING", message, {"due_to": due_to})
        listing, place = self._pager.resume(token)
        return listing, place, place.served // per_page + 1

    def _next(self, listing: Listing, following: Place | None) -> JsonObject:
        token, expiry = self._pager.token(listing, following) if following else (None, None)
        return {
            "next_page_token": token,
            "previous_page_token": None,
            "page_token_expiry": expiry,
        }

    def _printed(
        self, contacts: Iterable[Contact], names: tuple[str, ...] | None
    ) -> list[JsonObject]:
        shown = tuple(self._organization.fields) if names is None else names
        return [printed(self._organization, contact, shown) for contact in contacts]

    def _printed_deleted(self, gone: Deleted) -> JsonObject:
        return {
            "deleted_by": {"name": gone.by.name, "id": gone.by.id},
            "id": str(gone.id),
            "display_name": gone.name,
            "type": gone.type,
            "created_by": {"name": gone.created_by.name, "id": gone.created_by.id},
            "deleted_time": self._organization.stamp(gone.at),
        }


def _field_names(request: Request) -> tuple[str, ...] | None:
    named = request.query_params.get("fields")
    if not named:
        return None
    names = tuple(name.strip() for name in named.split(","))
    if len(names) > _MAX_FIELDS:
        raise limit_exceeded(_MAX_FIELDS, "too many fields", param_name="fields")
    return names


def _with_bare_ids(record: JsonObject) -> JsonObject:
    return {
        name: {"id": value["id"]} if isinstance(value, dict) else value
        for name, value in record.items()
    }


def _nothing() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)
