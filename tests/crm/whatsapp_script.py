"""A scripted Meta, and the adapter of an account there."""

import json
from collections.abc import Callable, Mapping
from uuid import UUID

import httpx

from crmsync_server.crm import whatsapp
from crmsync_server.crm.adapter import Account, Tools
from crmsync_server.crm.messaging import Outgoing, SendOutcome, Template
from crmsync_server.crm.whatsapp import WhatsAppAdapter
from tests.crm.support import SECRET, Rations, ScriptedCrm

WABA = "102290129340398"
OWNER = "506914307656634"
NUMBER = "106540352242922"
ADA = "447000000001"
APP_SECRET = "the-secret-of-the-app"
VERIFY = "any-text"
SECRETS = {"access_token": SECRET, "app_secret": APP_SECRET, "verify_token": VERIFY}
MESSAGE = Outgoing(UUID(int=7), NUMBER, ADA, text="Hello")
TEMPLATE = Outgoing(UUID(int=8), NUMBER, ADA, template=Template("order_sent", "de", ("Ada", "7")))


def adapter(
    tools: Tools, secrets: Mapping[str, str] | None = None, **options: str
) -> WhatsAppAdapter:
    """Return the adapter of an account; the version follows from the URL."""
    given = SECRETS if secrets is None else secrets
    url = options.pop("base_url", "https://graph.test/v23.0")
    known = {"waba_id": WABA} | options
    return whatsapp.build(Account("org-1", "whatsapp", url, given, known), tools)


def answering(
    respond: Callable[[httpx.Request], httpx.Response], quota: Rations | None = None
) -> tuple[WhatsAppAdapter, ScriptedCrm]:
    """Return the adapter of an account at a Meta that answers so, and what it was asked."""
    crm = ScriptedCrm(respond)
    return adapter(crm.tools(quota)), crm


def taken(wamid: str = "wamid.HBgL1") -> httpx.Response:
    """Answer a message as Meta does that it took."""
    return httpx.Response(
        200,
        json={
            "messaging_product": "whatsapp",
            "contacts": [{"input": ADA, "wa_id": ADA}],
            "messages": [{"id": wamid}],
        },
    )


def error(code: object, status: int = 400, **more: object) -> httpx.Response:
    """Answer with an error as the Graph API tells it."""
    told = {
        "message": f"(#{code}) Something",
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "Atrace",
        **more,
    }
    return httpx.Response(status, json={"error": told})


async def sent(reply: httpx.Response, quota: Rations | None = None) -> SendOutcome:
    """Send a message that is answered like this; exactly one call is made."""
    owner, crm = answering(lambda _: reply, quota)
    outcome = await owner.messaging.send(MESSAGE)
    assert len(crm.requests) == 1
    return outcome


def posted(*values: object, field: str = "messages") -> bytes:
    """Return the body of a webhook: each value in an entry of its own."""
    entries = [{"id": WABA, "changes": [{"field": field, "value": value}]} for value in values]
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()


def value(**more: object) -> dict[str, object]:
    """Return what a change is about, at a number of ours."""
    metadata = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
    return {"messaging_product": "whatsapp", "metadata": metadata, **more}
