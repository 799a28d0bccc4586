"""HubSpot's paths of contact properties and their groups."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_errors import HubSpotError, read_body
from crmsync_server.sandbox.hubspot_portal import Portal
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition, group_json
from crmsync_server.sandbox.hubspot_writes import parse_inputs
from crmsync_server.sandbox.wire import JsonObject

_PROPERTIES = "/crm/v3/properties/contacts"


class PropertyPaths:
    """The handlers under /crm/v3/properties/contacts."""

    def __init__(self, portal: Portal, clock: Clock) -> None:
        """Serve this portal."""
        self._portal = portal
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the paths; the fixed ones stand before `{name}`."""
        return [
            Route(_PROPERTIES, self.list_all, methods=["GET"]),
            Route(_PROPERTIES, self.create, methods=["POST"]),
            Route(f"{_PROPERTIES}/batch/create", self.create_batch, methods=["POST"]),
            Route(f"{_PROPERTIES}/groups", self.list_groups, methods=["GET"]),
            Route(f"{_PROPERTIES}/groups", self.create_group, methods=["POST"]),
            Route(f"{_PROPERTIES}/{{name}}", self.read, methods=["GET"]),
        ]

    async def list_all(self, _: Request) -> Response:
        """Return every property's definition."""
        definitions = self._portal.definitions.values()
        return JSONResponse({"results": [definition.as_json() for definition in definitions]})

    async def read(self, request: Request) -> Response:
        """Return one property's definition."""
        name = request.path_params["name"]
        if name not in self._portal.definitions:
            raise HubSpotError(404, f"Property {name} does not exist")
        return JSONResponse(self._portal.definitions[name].as_json())

    async def create(self, request: Request) -> Response:
        """Add a property."""
        (definition,) = self._checked([await read_body(request)])
        self._portal.definitions[definition.name] = definition
        return JSONResponse(definition.as_json(), status_code=201)

    async def create_batch(self, request: Request) -> Response:
        """Add up to 100 properties, or none of them."""
        started = isoformat(self._clock())
        definitions = self._checked(parse_inputs(await read_body(request)))
        self._portal.definitions |= {definition.name: definition for definition in definitions}
        body = {
            "status": "COMPLETE",
            "results": [definition.as_json() for definition in definitions],
            "startedAt": started,
            "completedAt": isoformat(self._clock()),
        }
        return JSONResponse(body, status_code=201)

    async def list_groups(self, _: Request) -> Response:
        """Return every group that properties stand in."""
        return JSONResponse({"results": list(self._portal.groups.values())})

    async def create_group(self, request: Request) -> Response:
        """Add a group."""
        body = await read_body(request)
        name, label = body.get("name"), body.get("label")
        if not isinstance(name, str) or not isinstance(label, str):
            raise HubSpotError(400, "Some required fields were not set: [name, label]")
        if name in self._portal.groups:
            raise HubSpotError(409, f"Property group {name} already exists")
        self._portal.groups[name] = group_json(name, label)
        return JSONResponse(self._portal.groups[name], status_code=201)

    def _checked(self, bodies: list[object]) -> list[PropertyDefinition]:
        taken = set(self._portal.definitions)
        found: list[PropertyDefinition] = []
        for body in bodies:
            definition = PropertyDefinition.parse(_as_object(body))
            if definition.name in taken:
                raise HubSpotError(409, f"Property {definition.name} already exists")
            if definition.group_name not in self._portal.groups:
                raise HubSpotError(400, f"There is no property group {definition.group_name}")
            taken.add(definition.name)
            found.append(definition)
        return found


def _as_object(body: object) -> JsonObject:
    if not isinstance(body, dict):
        raise HubSpotError(400, "Invalid input JSON: a property must be an object")
    return body
