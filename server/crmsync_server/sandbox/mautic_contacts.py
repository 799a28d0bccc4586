"""Mautic's contact paths: pages, one contact, the batch that creates or changes, and fields."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.mautic_errors import MauticError, forbidden, read_json
from crmsync_server.sandbox.mautic_fields import EMAIL
from crmsync_server.sandbox.mautic_instance import API_USER, Instance, InstanceContact
from crmsync_server.sandbox.mautic_queries import found, page
from crmsync_server.sandbox.wire import JsonObject

_NOT_FOUND = "Item was not found."


class ContactPaths:
    """The handlers under /api/contacts and /api/fields."""

    def __init__(
        self, instance: Instance, faults: FaultDial, calls: CallLog, *, batch_limit: int, page: int
    ) -> None:
        """Serve this instance; the dial decides which records it finds invalid."""
        self._instance = instance
        self._faults = faults
        self._calls = calls
        self._batch_limit = batch_limit
        self._page = page
        self.sees_others = True
        """Whether the API's user sees what others created."""

    def routes(self) -> list[Route]:
        """Return the paths; the fixed ones stand before `{id}`."""
        return [
            Route("/api/contacts", self.list_contacts, methods=["GET"]),
            Route("/api/contacts/new", self.create_contact, methods=["POST"]),
            Route("/api/contacts/batch/new", self.write_batch, methods=["POST"]),
            Route("/api/contacts/batch/delete", self.delete_batch, methods=["DELETE"]),
            Route("/api/contacts/list/fields", self.list_fields, methods=["GET"]),
            Route("/api/fields/contact", self.list_fields, methods=["GET"]),
            Route("/api/fields/contact/new", self.create_field, methods=["POST"]),
            Route("/api/contacts/{id:int}", self.read_contact, methods=["GET"]),
            Route("/api/contacts/{id:int}/edit", self.edit_contact, methods=["PATCH", "PUT"]),
            Route("/api/contacts/{id:int}/delete", self.delete_contact, methods=["DELETE"]),
        ]

    async def list_contacts(self, request: Request) -> Response:
        """Return one page of contacts by id; the total is a string, and an empty page a list."""
        query, contacts = request.query_params, self._instance.contacts
        minimal = query.get("minimal", "0") not in {"", "0"}
        ids = found(self._instance, query, others=self.sees_others)
        shown = {
            str(number): self._instance.as_json(contacts[number], minimal=minimal)
            for number in page(self._instance, ids, query, self._page)
        }
        return JSONResponse({"total": str(len(ids)), "contacts": shown or []})

    async def create_contact(self, request: Request) -> Response:
        """Add one contact, or change the one that has its email."""
        contact, status = self._write(_record(await read_json(request)))
        return JSONResponse({"contact": self._instance.as_json(contact)}, status_code=status)

    async def read_contact(self, request: Request) -> Response:
        """Return one contact."""
        return JSONResponse({"contact": self._instance.as_json(self._contact(request))})

    async def edit_contact(self, request: Request) -> Response:
        """Change one contact: PATCH what the body names, PUT everything."""
        contact, body = self._contact(request), _record(await read_json(request))
        if request.method == "PUT":
            blanks = dict.fromkeys(self._instance.fields, "")
            body = {**blanks, **body, "overwriteWithBlank": True}
        self._check_accepted(str(body.get(EMAIL) or contact.values.get(EMAIL, "")))
        self._instance.edit(contact, body)
        self._calls.records_updated += 1
        return JSONResponse({"contact": self._instance.as_json(contact)})

    async def delete_contact(self, request: Request) -> Response:
        """Remove one contact."""
        contact = self._contact(request)
        self._instance.delete(contact)
        return JSONResponse({"contact": self._instance.as_json(contact)})

    async def delete_batch(self, request: Request) -> Response:
        """Remove the contacts that `ids` names: 200 with them as they were, and errors by place."""
        named = request.query_params.get("ids", "").split(",")
        if not all(one.isdecimal() for one in named):
            raise MauticError(400, "Missing ids")
        if len(named) > self._batch_limit:
            message = f"A max of {self._batch_limit} entities are supported at a time."
            raise MauticError(500, message)
        found = [self._instance.contacts.get(int(one)) for one in named]
        held = [one and self._instance.as_json(one) for one in found]
        errors: dict[str, JsonObject] = {}
        for at, contact in enumerate(found):
            if contact is None:
                errors[str(at)] = MauticError(404, "Item was not found.").as_json()
            elif self._faults.rejects(str(contact.values.get(EMAIL, ""))):
                errors[str(at)] = MauticError(403, "You do not have access.").as_json()
            else:
                self._instance.delete(contact)
        return JSONResponse({"contacts": held} | ({"errors": errors} if errors else {}))

    async def write_batch(self, request: Request) -> Response:
        """Create or change one contact for each record: 201, whatever became of them."""
        records = await read_json(request)
        if not isinstance(records, list):
            raise MauticError(400, "An array of contacts is expected.")
        if len(records) > self._batch_limit:
            message = f"A max of {self._batch_limit} entities are supported at a time."
            raise MauticError(500, message)
        self._refuse_whole(records)
        held: dict[int, JsonObject] = {}
        statuses: dict[str, int] = {}
        errors: dict[str, JsonObject] = {}
        for at, record in enumerate(records):
            try:
                contact, status = self._write(_record(record))
            except MauticError as error:
                statuses[str(at)], errors[str(at)] = error.status, error.as_json()
            else:
                held[at], statuses[str(at)] = self._instance.as_json(contact), status
        body: JsonObject = {"contacts": _as_php(held), "statusCodes": statuses}
        if errors:
            body["errors"] = errors
        return JSONResponse(body, status_code=HTTPStatus.CREATED)

    async def list_fields(self, _: Request) -> Response:
        """Return every field's definition, by its number."""
        fields = self._instance.fields.values()
        return JSONResponse({str(field.id): field.as_json() for field in fields})

    async def create_field(self, request: Request) -> Response:
        """Add a field."""
        definition = self._instance.add_field(_record(await read_json(request)))
        return JSONResponse({"field": definition.as_json()}, status_code=HTTPStatus.CREATED)

    def _write(self, record: Mapping[str, Any]) -> tuple[InstanceContact, int]:
        self._check_accepted(str(record.get(EMAIL) or ""))
        contact = self._instance.match(record)
        if contact is None:
            self._calls.records_created += 1
            return self._instance.create(record), HTTPStatus.CREATED
        self._instance.update(contact, record)
        self._calls.records_updated += 1
        return contact, HTTPStatus.OK

    def _check_accepted(self, email: str) -> None:
        if self._faults.rejects(email):
            message = f"{email} is not a valid email address."
            raise MauticError(400, f"email: {message}", details={EMAIL: [message]})

    def _refuse_whole(self, records: list[Any]) -> None:
        """Refuse the batch before anything is applied, as a plugin that looks at it may."""
        emails = [str(record.get(EMAIL)) for record in records if isinstance(record, dict)]
        if self._faults.settings.unnamed_culprits and any(map(self._faults.rejects, emails)):
            raise MauticError(400, "The data is not valid.")

    def _contact(self, request: Request) -> InstanceContact:
        contact = self._instance.contacts.get(request.path_params["id"])
        if contact is None:
            raise MauticError(404, _NOT_FOUND)
        if not self.sees_others and contact.created_by != API_USER:
            raise forbidden()
        return contact


def _record(parsed: object) -> Mapping[str, Any]:
    if not isinstance(parsed, dict):
        raise MauticError(400, "An object of fields is expected.")
    return parsed


def _as_php(held: Mapping[int, JsonObject]) -> object:
    """Return a map as PHP prints it: a list when its keys count up from 0, else an object."""
    if list(held) == list(range(len(held))):
        return list(held.values())
    return {str(at): contact for at, contact in held.items()}
