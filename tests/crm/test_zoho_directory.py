"""What Zoho tells of itself, and fields that are made in it."""

import json
from dataclasses import replace

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    Module,
    NewField,
    Organization,
    directory_of,
)
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.zoho_directory import ZohoDirectory
from tests.crm.support import NOW, ScriptedCrm
from tests.crm.zoho_script import (
    FIELDS,
    ORG,
    STANDARD,
    TOKEN,
    adapter,
    body,
    error,
    failure,
    field,
    organization,
    token,
)

MODULES = "/crm/v8/settings/modules"


def directory(crm: ScriptedCrm) -> ZohoDirectory:
    """Return the directory of a scripted organization."""
    found = directory_of(adapter(crm.tools()))
    assert isinstance(found, ZohoDirectory)
    return found


class Making:
    """An organization where fields can be made; their API names come of their labels."""

    def __init__(self, *fields: dict[str, object]) -> None:
        """Begin with the standard fields and these."""
        self.fields = [*STANDARD, *fields]
        self.made: list[dict[str, object]] = []
        self.refusal: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer what a directory asks for."""
        if request.url.path == TOKEN:
            return token()
        assert (request.url.path, request.url.params["module"]) == (FIELDS, "Contacts")
        if request.method == "GET":
            return httpx.Response(200, json={"fields": self.fields})
        if self.refusal is not None:
            return self.refusal
        asked = body(request)["fields"]
        assert isinstance(asked, list)
        (new,) = asked
        self.made.append(new)
        name = str(new["field_label"]).replace(" ", "_")
        self.fields.append({**new, "api_name": name, "custom_field": True})
        entry = {"code": "SUCCESS", "status": "success", "details": {"id": "1"}}
        return httpx.Response(201, json={"fields": [entry]})


async def test_fields_are_told_in_neutral_words() -> None:
    """With what contacts are pushed there."""
    plan = field(
        "Plan",
        "picklist",
        custom_field=True,
        length=120,
        pick_list_values=[{"actual_value": "pro", "display_value": "Professional"}],
        unique={"casesensitive": "false"},
    )
    found = await directory(ScriptedCrm(Making(plan, field("Owner", "ownerlookup")))).fields()
    assert isinstance(found, list)
    told = {one.name: one for one in found}
    assert told["Plan"] == CrmField(
        "Plan",
        "Plan",
        FieldType.PICKLIST,
        "picklist",
        max_length=120,
        unique=True,
        custom=True,
        choices=[Choice("pro", "Professional")],
    )
    assert (told["Last_Name"].required, told["Owner"].type) == (True, FieldType.OTHER)
    assert {one.name: one.maps_to for one in found if one.maps_to} == {
        "Email": "email",
        "First_Name": "first_name",
        "Last_Name": "last_name",
        "Phone": "phone",
        "Account_Name": "company",
    }


NEW = [
    NewField("Plan", "Plan", FieldType.PICKLIST, choices=[Choice("pro", "Professional")]),
    NewField("Score", "Lead score", FieldType.NUMBER, unique=True),
    NewField("Note", "Note", FieldType.LONG_TEXT, max_length=500),
]


async def test_fields_are_made_once() -> None:
    """Doing it again finds them, under the names that Zoho has given them."""
    zoho = Making()
    found = await directory(ScriptedCrm(zoho)).create_fields(NEW)
    assert found == [
        FieldResult("Plan", FieldStatus.CREATED),
        FieldResult("Lead_score", FieldStatus.CREATED),
        FieldResult("Note", FieldStatus.CREATED),
    ]
    assert zoho.made == [
        {
            "field_label": "Plan",
            "data_type": "picklist",
            "pick_list_values": [{"actual_value": "pro", "display_value": "Professional"}],
        },
        {
            "field_label": "Lead score",
            "data_type": "double",
            "unique": {"casesensitive": "false"},
        },
        {"field_label": "Note", "data_type": "textarea", "textarea": {"type": "large"}},
    ]
    again = await directory(ScriptedCrm(zoho)).create_fields(NEW)
    assert again == [replace(one, status=FieldStatus.EXISTS) for one in found]
    assert len(zoho.made) == 3


async def test_each_field_has_a_result_of_its_own() -> None:
    """Another type, a type that Zoho has not, and one that it refuses."""
    zoho = Making(field("Plan", "text"))
    zoho.refusal = httpx.Response(400, json={"fields": [failure("LIMIT_EXCEEDED", message="no")]})
    new = [NEW[0], NewField("File", "File", FieldType.OTHER), NEW[1]]
    found = await directory(ScriptedCrm(zoho)).create_fields(new)
    assert isinstance(found, list)
    assert [(one.status, one.code) for one in found] == [
        (FieldStatus.MISMATCH, "TYPE_MISMATCH"),
        (FieldStatus.FAILED, "UNSUPPORTED_TYPE"),
        (FieldStatus.FAILED, "LIMIT_EXCEEDED"),
    ]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(429, "TOO_MANY_REQUESTS"), Postponed),
        (error(500, "INTERNAL_ERROR"), Retry),
        (error(401, "OAUTH_SCOPE_MISMATCH"), Rejected),
    ],
)
async def test_fields_that_cannot_be_made_now_are_no_result(
    reply: httpx.Response, kind: type[object]
) -> None:
    """It can be asked for again."""
    zoho = Making()
    zoho.refusal = reply
    assert isinstance(await directory(ScriptedCrm(zoho)).create_fields(NEW), kind)


async def test_permissions_are_found_by_asking() -> None:
    """Without writing; what Zoho tells only to whoever writes stays open."""
    crm = organization(
        lambda _: httpx.Response(200, json={"data": []}),
        instead={
            ORG: error(401, "OAUTH_SCOPE_MISMATCH"),
            MODULES: error(403, "NO_PERMISSION"),
            "/crm/v8/actions/watch": error(400, "INVALID_DATA"),
        },
    )
    found = await directory(crm).permissions()
    assert isinstance(found, list)
    assert {one.name: one.granted for one in found} == {
        "contacts.read": True,
        "contacts.search": True,
        "fields.read": True,
        "organization.read": False,
        "modules.read": False,
        "notifications.read": None,
        "contacts.write": None,
        "companies.write": None,
        "fields.write": None,
        "export": None,
    }
    assert {one.name for one in found if one.needed} == {
        "contacts.read",
        "contacts.search",
        "fields.read",
        "contacts.write",
    }
    writes = [r for r in crm.requests if r.method != "GET" and r.url.path != TOKEN]
    assert ["select" in json.loads(r.content)["select_query"] for r in writes] == [True]


async def test_an_organization_is_told() -> None:
    """With its edition."""
    org = {
        "id": "9",
        "company_name": "Acme",
        "country_code": "FR",
        "iso_code": "EUR",
        "time_zone": "Europe/Paris",
        "primary_email": "ceo@acme.test",
        "license_details": {"paid": True, "paid_type": "enterprise"},
    }
    crm = organization(instead={ORG: httpx.Response(200, json={"org": [org]})})
    assert await directory(crm).organization() == Organization(
        "9", "Acme", "enterprise", "FR", "EUR", "Europe/Paris", "ceo@acme.test"
    )


async def test_modules_are_told_that_the_api_can_reach() -> None:
    """Contacts are what is synced."""
    modules = [
        {"api_name": "Contacts", "plural_label": "People", "creatable": True},
        {"api_name": "Trips", "creatable": False, "generated_type": "custom"},
        {"api_name": "Home", "api_supported": False},
    ]
    crm = organization(instead={MODULES: httpx.Response(200, json={"modules": modules})})
    assert await directory(crm).modules() == [
        Module("Contacts", "People", synced=True),
        Module("Trips", "Trips", creatable=False, custom=True),
    ]


async def test_a_token_is_renewed_although_it_still_holds() -> None:
    """And the answer says until when the new one does; the first one is new anyhow."""
    waiting = [token("t-1", expires_in=120), token("t-2", expires_in=60)]
    crm = ScriptedCrm(lambda _: waiting.pop(0))
    zoho = directory(crm)
    assert await zoho.refresh_token() == NOW.replace(minute=2)
    assert crm.paths == [TOKEN]
    assert await zoho.refresh_token() == NOW.replace(minute=1)
    assert crm.paths == [TOKEN, TOKEN]


@pytest.mark.parametrize("question", ["fields", "permissions", "organization", "modules"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(429, "TOO_MANY_REQUESTS"), Postponed),
        (httpx.Response(503), Retry),
        (httpx.Response(502), Retry),
        (httpx.Response(200, text="<html>"), Retry),
    ],
)
async def test_a_fault_is_an_answer(
    question: str, reply: httpx.Response, kind: type[object]
) -> None:
    """Whatever was asked."""
    crm = ScriptedCrm(lambda request: token() if request.url.path == TOKEN else reply)
    assert isinstance(await getattr(directory(crm), question)(), kind)


@pytest.mark.parametrize("question", ["fields", "permissions", "organization", "modules"])
async def test_refused_credentials_raise(question: str) -> None:
    """Nothing else does."""
    refusal = error(401, "INVALID_TOKEN")
    crm = ScriptedCrm(lambda request: token() if request.url.path == TOKEN else refusal)
    with pytest.raises(CredentialsRefusedError):
        await getattr(directory(crm), question)()
