"""A scripted Brevo account: attributes always answered, the rest by path."""

import json
from collections.abc import Callable, Mapping

import httpx

from crmsync_server.crm.brevo import BrevoAdapter, build
from tests.crm.support import Rations, ScriptedCrm, account

ATTRIBUTES = [
    {"name": "FIRSTNAME", "category": "normal", "type": "text"},
    {"name": "LASTNAME", "category": "normal", "type": "text"},
    {"name": "COMPANY", "category": "normal", "type": "text"},
    {"name": "SCORE", "category": "normal", "type": "float"},
    {"name": "VIP", "category": "normal", "type": "boolean"},
    {"name": "BORN", "category": "normal", "type": "date"},
    {"name": "LIKES", "category": "normal", "type": "multiple-choice"},
    {"name": "TOTAL", "category": "calculated", "type": "float"},
]

Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]


def brevo_crm(answers: Mapping[str, Answer]) -> ScriptedCrm:
    """Return an account that answers `METHOD /path` with a response or a function's response.

    A method alone answers every path that has no answer of its own.
    """

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/contacts/attributes":
            return httpx.Response(200, json={"attributes": ATTRIBUTES})
        answer = answers.get(f"{request.method} {request.url.path}") or answers[request.method]
        return answer(request) if callable(answer) else answer

    return ScriptedCrm(respond)


def body(request: httpx.Request) -> dict[str, object]:
    """Return the JSON object a request carries."""
    found = json.loads(request.content)
    assert isinstance(found, dict)
    return found


def adapter(crm: ScriptedCrm, quota: Rations | None = None, **options: str) -> BrevoAdapter:
    """Return the adapter of an account with a list."""
    return build(account("brevo", list_id="7", **options), crm.tools(quota))
