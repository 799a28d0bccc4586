"""Zoho's replies for scripted organizations, and a push to one."""

import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

import httpx

from crmsync_server.crm.adapter import Account, Delivery, Tools
from crmsync_server.crm.outcomes import Outcome
from crmsync_server.crm.zoho import ZohoAdapter, build
from tests.crm.support import SECRET, ScriptedCrm

TOKEN = "/oauth/v2/token"
FIELDS = "/crm/v8/settings/fields"
CONTACTS = "/crm/v8/Contacts"
UPSERT = "/crm/v8/Contacts/upsert"
ACCOUNTS = "/crm/v8/Accounts/upsert"
COQL = "/crm/v8/coql"
ORG = "/crm/v8/org"
SECRETS = {"client_id": "1000.X", "client_secret": SECRET, "refresh_token": "1000.refresh-me"}
MODIFIED = "2026-11-21T13:00:00+01:00"

Respond = Callable[[httpx.Request], httpx.Response]


def field(name: str, kind: str = "text", **more: object) -> dict[str, object]:
    """Return one field as Zoho describes it."""
    return {"api_name": name, "field_label": name.replace("_", " "), "data_type": kind, **more}


STANDARD = [
    field("Email", "email"),
    field("First_Name"),
    field("Last_Name", system_mandatory=True),
    field("Phone", "phone"),
    field("Account_Name", "lookup"),
]


def token(value: str = "t-1", **more: object) -> httpx.Response:
    """Return what the accounts server grants."""
    granted = {"access_token": value, "expires_in": 3600, "token_type": "Bearer", **more}
    return httpx.Response(200, json=granted)


def form(request: httpx.Request) -> dict[str, str]:
    """Return what a request for a token says."""
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def body(request: httpx.Request) -> dict[str, object]:
    """Return the JSON of a request."""
    found = json.loads(request.content)
    assert isinstance(found, dict)
    return found


def records(request: httpx.Request) -> list[dict[str, object]]:
    """Return the records of a write."""
    found = body(request)["data"]
    assert isinstance(found, list)
    return found


def success(number: int, action: str = "insert") -> dict[str, object]:
    """Return the entry of a record that was written."""
    details = {"id": str(number), "Modified_Time": MODIFIED}
    return {"code": "SUCCESS", "status": "success", "action": action, "details": details}


def failure(code: str, api_name: str = "", message: str = "no") -> dict[str, object]:
    """Return the entry of a record that was not."""
    details = {"api_name": api_name} if api_name else {}
    return {"code": code, "status": "error", "message": message, "details": details}


def error(status: int, code: str, message: str = "no") -> httpx.Response:
    """Answer a whole call with an error."""
    found = {"code": code, "message": message, "status": "error", "details": {}}
    return httpx.Response(status, json=found)


def written(*entries: Mapping[str, object], status: int = 200) -> httpx.Response:
    """Answer a write."""
    return httpx.Response(status, json={"data": list(entries)})


def kept(request: httpx.Request) -> httpx.Response:
    """Answer a write as Zoho does when all is well: new records from 501 on, others keep theirs."""
    sent = records(request)
    return written(*(success(int(str(one.get("id", 501 + at)))) for at, one in enumerate(sent)))


def organization(
    answer: Respond = kept,
    *fields: Mapping[str, object],
    instead: Mapping[str, httpx.Response] | None = None,
) -> ScriptedCrm:
    """Return an organization with these fields besides the standard ones.

    answer: answers what is neither about tokens nor fields nor accounts.
    instead: what these paths answer, whatever they are about.
    """

    def respond(request: httpx.Request) -> httpx.Response:
        if instead and request.url.path in instead:
            return instead[request.url.path]
        if request.url.path == TOKEN:
            return token()
        if request.url.path == FIELDS:
            return httpx.Response(200, json={"fields": [*STANDARD, *fields]})
        return kept(request) if request.url.path == ACCOUNTS else answer(request)

    return ScriptedCrm(respond)


def answering(replies: Mapping[str, Sequence[httpx.Response]]) -> Respond:
    """Return what answers each path (with its method, `PUT /crm/v8/Contacts`) in turn."""
    waiting = {path: list(found) for path, found in replies.items()}

    def respond(request: httpx.Request) -> httpx.Response:
        return waiting[f"{request.method} {request.url.path}"].pop(0)

    return respond


def adapter(
    tools: Tools, *, base_url: str = "https://www.zohoapis.com", **options: str
) -> ZohoAdapter:
    """Return the adapter of an organization in the United States, or where the base URL says."""
    return build(Account("org-1", "zoho", base_url, SECRETS, options), tools)


async def push(crm: ScriptedCrm, *batch: Delivery, **options: str) -> list[Outcome]:
    """Push a batch to a scripted organization."""
    return list(await adapter(crm.tools(), **options).push(batch))
