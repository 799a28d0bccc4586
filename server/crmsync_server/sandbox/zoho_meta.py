"""Zoho's paths about the organization: the user, the organization, its modules and fields."""

import re
from dataclasses import replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_channels import MODULE_ID
from crmsync_server.sandbox.zoho_errors import (
    ZohoError,
    elements,
    invalid_data,
    invalid_module,
    mandatory,
    missing_param,
    not_an_object,
    place,
    read_body,
)
from crmsync_server.sandbox.zoho_fields import TYPES, Field
from crmsync_server.sandbox.zoho_organization import INTEGRATION, PERSON, Organization
from crmsync_server.sandbox.zoho_table import User

_SETTINGS = "/crm/v8/settings"
_MODULE = "Contacts"
_MODULES = {_MODULE: MODULE_ID, "Accounts": "554023000000000131"}
_MAX_NEW_FIELDS = 5
_MAX_LABEL = 50
_LENGTHS = {"textarea": 2000, "email": 100, "phone": 30, "website": 450}


class MetaPaths:
    """The handlers of what an organization is made of."""

    def __init__(self, organization: Organization, *, org_id: str, time_zone: str) -> None:
        """Tell of this organization."""
        self._organization = organization
        self._org_id = org_id
        self._time_zone = time_zone

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/crm/v8/users", self.read_users, methods=["GET"]),
            Route("/crm/v8/org", self.read_org, methods=["GET"]),
            Route(f"{_SETTINGS}/modules", self.read_modules, methods=["GET"]),
            Route(f"{_SETTINGS}/modules/{{name}}", self.read_module, methods=["GET"]),
            Route(f"{_SETTINGS}/fields", self.read_fields, methods=["GET"]),
            Route(f"{_SETTINGS}/fields", self.create_fields, methods=["POST"]),
        ]

    async def read_users(self, request: Request) -> Response:
        """Return whose token it is, or all users."""
        current = request.query_params.get("type") == "CurrentUser"
        users = [INTEGRATION] if current else [INTEGRATION, PERSON]
        info = {"per_page": 200, "count": len(users), "page": 1, "more_records": False}
        return JSONResponse({"users": [self._user(one) for one in users], "info": info})

    async def read_org(self, _: Request) -> Response:
        """Return the organization."""
        licence = {"paid": True, "paid_type": "enterprise", "users_license_purchased": 5}
        org = {
            "id": self._org_id,
            "zgid": self._org_id,
            "company_name": "Sandbox",
            "primary_email": PERSON.email,
            "time_zone": self._time_zone,
            "country_code": "IN",
            "iso_code": "INR",
            "license_details": licence,
        }
        return JSONResponse({"org": [org]})

    async def read_modules(self, _: Request) -> Response:
        """Return the modules: contacts, and the companies that they belong to."""
        return JSONResponse({"modules": [_module(name) for name in _MODULES]})

    async def read_module(self, request: Request) -> Response:
        """Return one module."""
        name = request.path_params["name"]
        if name not in _MODULES:
            raise invalid_module(name)
        return JSONResponse({"modules": [_module(name)]})

    async def read_fields(self, request: Request) -> Response:
        """Return the definitions of all fields."""
        _check_module(request.query_params.get("module"))
        return JSONResponse({"fields": self._numbered()})

    async def create_fields(self, request: Request) -> Response:
        """Add fields, up to five, each with a result of its own."""
        _check_module(request.query_params.get("module"))
        results = []
        for number, item in enumerate(
            elements(await read_body(request), "fields", _MAX_NEW_FIELDS)
        ):
            try:
                results.append(self._create(item, f"$.fields[{number}]"))
            except ZohoError as error:
                results.append(error.as_json())
        failed = sum(one["status"] == "error" for one in results)
        status = HTTPStatus.MULTI_STATUS if failed else HTTPStatus.CREATED
        if failed == len(results):
            status = HTTPStatus.BAD_REQUEST
        return JSONResponse({"fields": results}, status_code=status)

    def _create(self, item: object, path: str) -> JsonObject:
        field = _parse(item, path)
        fields = self._organization.fields
        labels = {one.label or one.api_name.replace("_", " ") for one in fields.values()}
        if field.label.lower() in {label.lower() for label in labels}:
            details = place(path, "field_label")
            raise ZohoError(400, "DUPLICATE_DATA", "another field has this label", details)
        name, again = field.api_name, 0
        while name in fields:
            again += 1
            name = f"{field.api_name}{again}"
        fields[name] = replace(field, api_name=name)
        if field.unique:
            self._organization.live.look_up_by(name)
        created = next(one for one in self._numbered() if one["api_name"] == name)
        return {
            "code": "SUCCESS",
            "details": {"id": created["id"]},
            "message": "the field was created",
            "status": "success",
        }

    def _numbered(self) -> list[JsonObject]:
        fields = self._organization.fields.values()
        return [field.as_json(number) for number, field in enumerate(fields)]

    def _user(self, user: User) -> JsonObject:
        return {
            "id": user.id,
            "full_name": user.name,
            "last_name": user.name,
            "email": user.email,
            "status": "active",
            "confirm": True,
            "time_zone": self._time_zone,
            "role": {"name": "CEO", "id": "554023000000015969"},
            "profile": {"name": "Administrator", "id": "554023000000015972"},
        }


def _parse(item: object, path: str) -> Field:
    """Read the definition of a field to be."""
    if not isinstance(item, dict):
        raise not_an_object(path, "fields")
    label, data_type = item.get("field_label"), item.get("data_type")
    if not label:
        raise mandatory(path, "field_label")
    if not data_type:
        raise mandatory(path, "data_type")
    if not isinstance(label, str) or len(label) > _MAX_LABEL:
        raise invalid_data(path, "field_label", "not a label", maximum_length=_MAX_LABEL)
    if data_type not in TYPES:
        raise invalid_data(path, "data_type", "the type is not known")
    options = _options(item, path)
    if "picklist" in data_type and not options:
        raise mandatory(path, "pick_list_values")
    length = item.get("length", _LENGTHS.get(data_type, 255))
    if not isinstance(length, int):
        raise invalid_data(path, "length", "not a length", expected_data_type="integer")
    return Field(
        api_name=re.sub(r"\W+", "_", label.strip()),
        data_type=data_type,
        length=length,
        label=label,
        options=options,
        unique=bool(item.get("unique")),
        custom=True,
    )


def _options(item: JsonObject, path: str) -> tuple[str, ...]:
    values = item.get("pick_list_values") or []
    if not isinstance(values, list) or not all(
        isinstance(value, dict) and isinstance(value.get("display_value"), str) for value in values
    ):
        raise invalid_data(path, "pick_list_values", "expected a list of {display_value}")
    return tuple(value.get("actual_value") or value["display_value"] for value in values)


def _module(name: str) -> JsonObject:
    return {
        "api_name": name,
        "module_name": name,
        "id": _MODULES[name],
        "plural_label": name,
        "singular_label": name.removesuffix("s"),
        "api_supported": True,
        "creatable": True,
        "editable": True,
        "deletable": True,
        "viewable": True,
    }


def _check_module(name: str | None) -> None:
    if name is None:
        raise missing_param(name="module")
    if name != _MODULE:
        raise invalid_module(name)
