"""Mautic's replies for scripted instances, and a push to one."""

import json
from collections.abc import Mapping, Sequence

import httpx

from crmsync_server.crm.adapter import Account, Delivery, Tools
from crmsync_server.crm.mautic import MauticAdapter, build
from crmsync_server.crm.outcomes import Outcome
from tests.crm.support import SECRET, ScriptedCrm

BATCH = "/api/contacts/batch/new"
CONTACTS = "/api/contacts"
SELF = "/api/users/self"
TOKEN = "/oauth/v2/token"
BASIC = {"username": "sync", "password": SECRET}
APPLICATION = {"client_id": "1_x", "client_secret": SECRET}


def records(request: httpx.Request) -> list[dict[str, object]]:
    """Return the records of a batch."""
    found = json.loads(request.content)
    assert isinstance(found, list)
    return found


def contact(number: int, email: str, **fields: object) -> dict[str, object]:
    """Return a contact as Mautic shows it: fields in groups, and all of them once more."""
    values = {"id": number, "email": email, **fields}
    core = {alias: {"alias": alias, "value": value} for alias, value in values.items()}
    return {"id": number, "fields": {"core": core, "social": [], "all": values}, "tags": []}


def kept(request: httpx.Request) -> httpx.Response:
    """Answer a batch as Mautic does when all is well and new."""
    sent = records(request)
    shown = [contact(at + 501, **fields_of(record)) for at, record in enumerate(sent)]
    statuses = {str(at): 201 for at in range(len(sent))}
    return httpx.Response(201, json={"contacts": shown, "statusCodes": statuses})


def fields_of(record: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of a record, without what only steers the write."""
    steering = {"tags", "overwriteWithBlank"}
    return {name: str(value) for name, value in record.items() if name not in steering}


def error(status: int, message: str = "no", **more: object) -> httpx.Response:
    """Answer with one of Mautic's error bodies."""
    return httpx.Response(status, json={"errors": [{"code": status, "message": message, **more}]})


def instance(
    tools: Tools, secrets: Mapping[str, str] | None = None, **options: str
) -> MauticAdapter:
    """Return the adapter of an instance with Basic credentials, or with the secrets given."""
    given = BASIC if secrets is None else secrets
    return build(Account("org-1", "mautic", "https://mautic.test/api/", given, options), tools)


async def push(crm: ScriptedCrm, *batch: Delivery, **options: str) -> list[Outcome]:
    """Push a batch to a scripted instance."""
    return list(await instance(crm.tools(), None, **options).push(batch))


async def answered(reply: httpx.Response, batch: Sequence[Delivery]) -> list[Outcome]:
    """Push a batch that is answered with this reply."""
    return await push(ScriptedCrm(lambda _: reply), *batch)
