"""HubSpot's replies for scripted portals, and a push to one."""

from dataclasses import replace

import httpx

from crmsync_server.crm.adapter import Delivery, Tools
from crmsync_server.crm.hubspot import HubSpot, build
from crmsync_server.crm.outcomes import Outcome
from tests.crm.support import SECRET, ScriptedCrm, account
from tests.crm.support import inputs as inputs_of

UPSERT = "/crm/v3/objects/contacts/batch/upsert"
UPDATE = "/crm/v3/objects/contacts/batch/update"
READ = "/crm/v3/objects/contacts/batch/read"
TOKEN = "/oauth/v3/token"
INTROSPECT = f"{TOKEN}/introspect"
APPLICATION = {"client_id": "app-1", "client_secret": SECRET, "refresh_token": "r-0"}


def accepted(request: httpx.Request) -> httpx.Response:
    """Answer as HubSpot does when all is well and new, in another order than asked."""
    if request.url.path == READ:
        return httpx.Response(207, json={"status": "COMPLETE", "results": [], "errors": []})
    results = [
        {"id": f"{index + 501}", "objectWriteTraceId": entry["objectWriteTraceId"]}
        for index, entry in enumerate(inputs_of(request))
    ]
    return httpx.Response(200, json={"status": "COMPLETE", "results": results[::-1]})


def refusal(status: int, **body: object) -> httpx.Response:
    """Answer with one of HubSpot's error bodies."""
    return httpx.Response(status, json={"status": "error", "correlationId": "c-1", **body})


def hubspot(tools: Tools, **options: str) -> HubSpot:
    """Return the adapter of a portal."""
    return build(account("hubspot", **options), tools)


def application(tools: Tools, **options: str) -> HubSpot:
    """Return the adapter of a portal that authorized an application by OAuth."""
    return build(replace(account("hubspot", **options), secrets=APPLICATION), tools)


async def push(crm: ScriptedCrm, *batch: Delivery) -> list[Outcome]:
    """Push a batch to a scripted CRM."""
    return list(await hubspot(crm.tools()).push(batch))


def traces(request: httpx.Request) -> list[object]:
    """Return the trace ids of a batch request."""
    return [entry["objectWriteTraceId"] for entry in inputs_of(request)]
