"""`/_sandbox/*`: looking into a simulated CRM and turning its faults on and off.

These paths are outside the CRM's authentication, limits and faults.
"""

import json
from collections.abc import AsyncIterator
from itertools import islice

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.simulator import Simulator
from crmsync_server.sandbox.wire import MalformedBodyError, parse_object

PREFIX = "/_sandbox/"
_CHUNK = 500
_SCRIPT = TypeAdapter(list[ScriptedFault])


class Inspection:
    """The handlers of `/_sandbox/*` for one simulated CRM."""

    def __init__(self, crm: Simulator) -> None:
        """Look into this CRM."""
        self._crm = crm

    def routes(self) -> list[Route]:
        """Return the paths that every simulated CRM has."""
        return [
            Route("/_sandbox/contacts", self.contacts, methods=["GET"]),
            Route("/_sandbox/calls", self.calls, methods=["GET"]),
            Route("/_sandbox/faults", self.read_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.set_faults, methods=["PUT", "PATCH"]),
            Route("/_sandbox/script", self.read_script, methods=["GET"]),
            Route("/_sandbox/script", self.append_script, methods=["POST"]),
            Route("/_sandbox/script", self.clear_script, methods=["DELETE"]),
            Route("/_sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def contacts(self, _: Request) -> Response:
        """Stream everything held as one JSON list."""
        return StreamingResponse(self._chunks(), media_type="application/json")

    async def calls(self, _: Request) -> Response:
        """Return what was asked of the CRM, counted."""
        return JSONResponse(self._crm.calls.as_json())

    async def read_faults(self, _: Request) -> Response:
        """Return the dial's position."""
        return JSONResponse(self._crm.faults.settings.model_dump(mode="json"))

    async def set_faults(self, request: Request) -> Response:
        """Turn the dial: PUT sets the whole position, PATCH only the fields it names."""
        current = self._crm.faults.settings.model_dump() if request.method == "PATCH" else {}
        try:
            settings = FaultSettings.model_validate(current | parse_object(await request.body()))
        except (MalformedBodyError, ValidationError) as error:
            return _bad_request(error)
        self._crm.faults.settings = settings
        return await self.read_faults(request)

    async def read_script(self, _: Request) -> Response:
        """Return the scripted faults that still wait."""
        waiting = self._crm.faults.scripted
        return JSONResponse([fault.model_dump(mode="json") for fault in waiting])

    async def append_script(self, request: Request) -> Response:
        """Queue the faults in a JSON list, or in `{faults: [...]}`, or a single one."""
        try:
            self._crm.faults.script(*_parse_script(await request.body()))
        except (ValueError, ValidationError) as error:
            return _bad_request(error)
        return await self.read_script(request)

    async def clear_script(self, _: Request) -> Response:
        """Forget the scripted faults that still wait."""
        self._crm.faults.clear_script()
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        """Forget contacts, counts, limits taken and scripted faults; the dial stays as it is."""
        self._crm.reset()
        self._crm.calls.clear()
        self._crm.faults.clear_script()
        return Response(status_code=204)

    async def _chunks(self) -> AsyncIterator[str]:
        held = self._crm.contacts()
        separator = "["
        while chunk := list(islice(held, _CHUNK)):
            yield separator + json.dumps(chunk, ensure_ascii=False)[1:-1]
            separator = ","
        yield "[]" if separator == "[" else "]"


def _parse_script(body: bytes) -> list[ScriptedFault]:
    parsed = json.loads(body)
    if isinstance(parsed, dict):
        parsed = parsed.get("faults", [parsed])
    return _SCRIPT.validate_python(parsed)


def _bad_request(error: ValueError) -> Response:
    return JSONResponse({"message": str(error)}, status_code=400)
