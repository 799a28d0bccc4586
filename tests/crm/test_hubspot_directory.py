"""What a portal tells of itself: its properties, what may be done, whose it is, what it keeps."""

import json
from collections.abc import Mapping

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    Directory,
    FieldResult,
    FieldStatus,
    FieldType,
    Module,
    NewField,
    Organization,
    Permission,
    directory_of,
)
from crmsync_server.crm.hubspot_day import DETAILS
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from tests.crm.hubspot_script import INTROSPECT, TOKEN, application, hubspot, refusal
from tests.crm.support import Rations, ScriptedCrm

GROUPS = f"{PROPERTIES}/groups"


def defined(name: str, kind: str = "string", shown: str = "text", **more: object) -> object:
    """Return a property as HubSpot prints it."""
    return {"name": name, "label": name.title(), "type": kind, "fieldType": shown, **more}


def directory(crm: ScriptedCrm) -> Directory:
    """Return what a portal tells of itself."""
    found = directory_of(hubspot(crm.tools()))
    assert found is not None
    return found


def telling(**replies: httpx.Response) -> ScriptedCrm:
    """Return a portal that answers questions by the last part of their paths; others are 404."""

    def respond(request: httpx.Request) -> httpx.Response:
        last = request.url.path.rsplit("/", 1)[1]
        return replies.get(last, refusal(404, category="OBJECT_NOT_FOUND"))

    return ScriptedCrm(respond)


def listed(*entries: object) -> httpx.Response:
    """Return a list as HubSpot answers it."""
    return httpx.Response(200, json={"results": entries})


async def fields(*entries: object) -> Mapping[str, CrmField]:
    """Return the fields of a portal with these properties."""
    found = await directory(telling(contacts=listed(*entries))).fields()
    assert isinstance(found, list)
    return {one.name: one for one in found}


@pytest.mark.parametrize(
    ("kind", "shown", "found"),
    [
        ("string", "text", FieldType.TEXT),
        ("string", "textarea", FieldType.LONG_TEXT),
        ("string", "html", FieldType.LONG_TEXT),
        ("string", "phonenumber", FieldType.PHONE),
        ("phone_number", "phonenumber", FieldType.PHONE),
        ("number", "number", FieldType.NUMBER),
        ("bool", "booleancheckbox", FieldType.BOOLEAN),
        ("date", "date", FieldType.DATE),
        ("datetime", "date", FieldType.DATE_TIME),
        ("enumeration", "select", FieldType.PICKLIST),
        ("enumeration", "radio", FieldType.PICKLIST),
        ("enumeration", "checkbox", FieldType.MULTI_PICKLIST),
        ("enumeration", "booleancheckbox", FieldType.BOOLEAN),
        ("object_coordinates", "text", FieldType.OTHER),
    ],
)
async def test_types_have_words_that_all_crms_share(
    kind: str, shown: str, found: FieldType
) -> None:
    """HubSpot's own word stays beside it."""
    field = (await fields(defined("x", kind, shown)))["x"]
    assert (field.type, field.vendor_type) == (found, kind)


async def test_a_field_is_told_with_all_that_hubspot_says_of_it() -> None:
    """Choices, uniqueness, who made it, whether it is computed, and what is pushed there."""
    options = [{"value": "gold", "label": "Gold!", "hidden": False}, {"value": "tin"}]
    found = await fields(
        defined("tier", "enumeration", "select", options=options, hubspotDefined=False),
        defined("email", hubspotDefined=True),
        defined("firstname", hubspotDefined=True),
        defined("member_no", hasUniqueValue=True),
        defined("createdate", "datetime", modificationMetadata={"readOnlyValue": True}),
        defined("old", archived=True),
    )
    assert found["tier"] == CrmField(
        "tier",
        "Tier",
        FieldType.PICKLIST,
        "enumeration",
        custom=True,
        choices=[Choice("gold", "Gold!"), Choice("tin")],
    )
    assert (found["email"].type, found["email"].unique) == (FieldType.EMAIL, True)
    assert (found["email"].maps_to, found["firstname"].maps_to) == ("email", "first_name")
    assert (found["email"].custom, found["member_no"].custom) == (False, True)
    assert (found["member_no"].unique, found["tier"].unique) == (True, False)
    assert (found["createdate"].read_only, found["tier"].read_only) == (True, False)
    assert "old" not in found


NEW = NewField("tier", "Tier", FieldType.PICKLIST, choices=[Choice("gold", "Gold")])


def making(*held: object, groups: tuple[str, ...] = ("crmsync",)) -> ScriptedCrm:
    """Return a portal with these properties and groups, which makes what it is asked for."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json=json.loads(request.content))
        names = ({"name": name} for name in groups)
        return listed(*names) if request.url.path == GROUPS else listed(*held)

    return ScriptedCrm(respond)


def written(crm: ScriptedCrm) -> list[tuple[str, dict[str, object]]]:
    """Return what was written, and where."""
    posts = [request for request in crm.requests if request.method == "POST"]
    return [(request.url.path, json.loads(request.content)) for request in posts]


async def test_a_field_that_is_missing_is_made_in_a_group_of_our_own() -> None:
    """The group too, where it is missing."""
    for groups, made in (((), [GROUPS, PROPERTIES]), (("crmsync",), [PROPERTIES])):
        crm = making(groups=groups)
        assert await directory(crm).create_fields([NEW]) == [
            FieldResult("tier", FieldStatus.CREATED)
        ]
        assert [path for path, _ in written(crm)] == made
        assert written(crm)[-1][1] == {
            "name": "tier",
            "label": "Tier",
            "type": "enumeration",
            "fieldType": "select",
            "groupName": "crmsync",
            "options": [{"value": "gold", "label": "Gold", "displayOrder": 0}],
        }


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (FieldType.TEXT, ("string", "text")),
        (FieldType.LONG_TEXT, ("string", "textarea")),
        (FieldType.EMAIL, ("string", "text")),
        (FieldType.URL, ("string", "text")),
        (FieldType.PHONE, ("string", "phonenumber")),
        (FieldType.NUMBER, ("number", "number")),
        (FieldType.BOOLEAN, ("bool", "booleancheckbox")),
        (FieldType.DATE, ("date", "date")),
        (FieldType.DATE_TIME, ("datetime", "date")),
        (FieldType.MULTI_PICKLIST, ("enumeration", "checkbox")),
    ],
)
async def test_what_was_made_is_there_when_it_is_asked_for_again(
    kind: FieldType, asked: tuple[str, str]
) -> None:
    """Of every type; nothing is written then."""
    crm = making()
    new = NewField("x", "X", kind, choices=[Choice("a")], unique=True)
    await directory(crm).create_fields([new])
    ((_, body),) = written(crm)
    assert (body["type"], body["fieldType"], body["hasUniqueValue"]) == (*asked, True)
    again = making(body)
    assert await directory(again).create_fields([new]) == [FieldResult("x", FieldStatus.EXISTS)]
    assert again.paths == [PROPERTIES]


@pytest.mark.parametrize(
    ("held", "new", "words"),
    [
        (defined("x", "number", "number"), NewField("x", "X", FieldType.TEXT), "NUMBER, not TEXT"),
        (
            defined("x", "enumeration", "select"),
            NewField("x", "X", FieldType.MULTI_PICKLIST, choices=[Choice("a")]),
            "PICKLIST, not MULTI_PICKLIST",
        ),
        (defined("x"), NewField("x", "X", FieldType.TEXT, unique=True), "unique"),
        (
            defined("x", modificationMetadata={"readOnlyValue": True}),
            NewField("x", "X", FieldType.TEXT),
            "computes",
        ),
    ],
)
async def test_a_field_of_another_type_is_left_as_it_is(
    held: object, new: NewField, words: str
) -> None:
    """And named, with what is different."""
    crm = making(held)
    (result,) = await directory(crm).create_fields([new])  # type: ignore[misc]
    assert isinstance(result, FieldResult)
    assert (result.status, result.code) == (FieldStatus.MISMATCH, "FIELD_MISMATCH")
    assert words in result.message
    assert written(crm) == []


async def test_each_field_has_its_own_result_in_order() -> None:
    """One that HubSpot refuses does not keep the next from being made."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return listed({"name": "crmsync"}, defined("held"))
        if b"Bad Name" in request.content:
            return refusal(400, category="VALIDATION_ERROR", message="names are lower case")
        return httpx.Response(201, json=json.loads(request.content))

    text = FieldType.TEXT
    results = await directory(ScriptedCrm(respond)).create_fields(
        [
            NewField("Bad Name", "x", text),
            NewField("held", "x", text),
            NewField("map", "x", FieldType.OTHER),
            NewField("pick", "x", FieldType.PICKLIST),
            NewField("good", "x", text),
            NewField("good", "y", FieldType.NUMBER),
        ]
    )
    assert isinstance(results, list)
    assert [(one.name, one.status, one.code) for one in results] == [
        ("Bad Name", FieldStatus.FAILED, "VALIDATION_ERROR"),
        ("held", FieldStatus.EXISTS, ""),
        ("map", FieldStatus.FAILED, "UNSUPPORTED_TYPE"),
        ("pick", FieldStatus.FAILED, "NO_CHOICES"),
        ("good", FieldStatus.CREATED, ""),
        ("good", FieldStatus.FAILED, "TWICE"),
    ]
    assert "lower case" in results[0].message


@pytest.mark.parametrize(
    ("there", "status"),
    [
        (defined("tier", "enumeration", "select"), FieldStatus.EXISTS),
        (defined("tier", "number", "number"), FieldStatus.MISMATCH),
        (None, FieldStatus.FAILED),
    ],
)
async def test_a_field_that_somebody_made_meanwhile_is_looked_at_again(
    there: object, status: FieldStatus
) -> None:
    """Or stands in HubSpot's archive, which the list does not show."""
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return refusal(409, category="CONFLICT", message="already exists")
        asked.append(request.url.path)
        late = asked.count(PROPERTIES) > 1 and there is not None
        return listed(there) if late else listed()

    (result,) = await directory(ScriptedCrm(respond)).create_fields([NEW])  # type: ignore[misc]
    assert isinstance(result, FieldResult)
    assert result.status is status


async def test_a_missing_scope_is_one_fault_and_not_one_for_each_field() -> None:
    """It is the token's, not the fields'."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return listed({"name": "crmsync"})
        return refusal(403, category="MISSING_SCOPES", message="crm.schemas.contacts.write")

    found = await directory(ScriptedCrm(respond)).create_fields([NEW])
    assert isinstance(found, Rejected)
    assert found.code == "MISSING_SCOPES"
    assert "crm.schemas.contacts.write" in found.message


SCOPES = {
    "contacts.read": "crm.objects.contacts.read",
    "contacts.write": "crm.objects.contacts.write",
    "fields.read": "crm.schemas.contacts.read",
    "fields.write": "crm.schemas.contacts.write",
}


def permitted(found: object) -> dict[str, bool | None]:
    """Return what is permitted, by name; every answer names its scope."""
    assert isinstance(found, list)
    assert all(isinstance(one, Permission) and one.detail == SCOPES[one.name] for one in found)
    return {one.name: one.granted for one in found}


async def test_a_private_app_s_scopes_show_by_reading_and_writing_is_not_tried() -> None:
    """What HubSpot does not tell stays unknown."""

    def respond(request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        lacks = request.url.path == PROPERTIES
        return refusal(403, category="MISSING_SCOPES") if lacks else listed()

    crm = ScriptedCrm(respond)
    assert permitted(await directory(crm).permissions()) == {
        "contacts.read": True,
        "contacts.write": None,
        "fields.read": False,
        "fields.write": None,
    }
    assert crm.paths == [CONTACTS, PROPERTIES]


def introspecting(**told: object) -> ScriptedCrm:
    """Return a portal that says this of a token, and lets it read."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return httpx.Response(200, json={"access_token": "t-1", "expires_in": 1800})
        if request.url.path == INTROSPECT:
            assert b"token=t-1" in request.content
            assert "t-1" not in str(request.url)
            return httpx.Response(200, json={"active": True, **told})
        return listed()

    return ScriptedCrm(respond)


async def test_an_application_s_scopes_are_asked_for() -> None:
    """With the token in the body; as an array, or as one text."""
    scopes = ["oauth", "crm.objects.contacts.read", "crm.schemas.contacts.read"]
    for told in ({"scopes": scopes}, {"scope": " ".join(scopes)}):
        crm = introspecting(**told)
        found = await application(crm.tools()).directory.permissions()
        assert permitted(found) == {
            "contacts.read": True,
            "contacts.write": False,
            "fields.read": True,
            "fields.write": False,
        }
        assert crm.paths == [TOKEN, INTROSPECT]


async def test_scopes_that_are_not_told_show_by_reading() -> None:
    """HubSpot promises only that it says whether a token is active."""
    found = await application(introspecting().tools()).directory.permissions()
    assert permitted(found)["contacts.write"] is None
    assert permitted(found)["contacts.read"] is True


async def test_an_organization_is_what_the_details_tell() -> None:
    """There is no name among them."""
    told = {
        "portalId": 4242,
        "accountType": "STANDARD",
        "timeZone": "Europe/Paris",
        "companyCurrency": "EUR",
        "dataHostingLocation": "eu1",
    }
    crm = telling(details=httpx.Response(200, json=told))
    assert await directory(crm).organization() == Organization(
        "4242", edition="STANDARD", currency="EUR", time_zone="Europe/Paris"
    )
    assert crm.paths == [DETAILS]


async def test_modules_are_those_that_can_be_read() -> None:
    """One that the token or the portal lacks is left out."""
    crm = telling(
        contacts=listed(), companies=listed(), deals=refusal(403, category="MISSING_SCOPES")
    )
    assert await directory(crm).modules() == [
        Module("contacts", "Contacts", synced=True),
        Module("companies", "Companies"),
    ]
    assert {request.url.params["limit"] for request in crm.requests} == {"1"}


@pytest.mark.parametrize("question", ["fields", "permissions", "organization", "modules"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(429, policyName="TEN_SECONDLY_ROLLING"), Postponed),
        (refusal(423), Postponed),
        (httpx.Response(502, text="<html>"), Retry),
        (httpx.Response(200, text="<html>"), Retry),
    ],
)
async def test_a_fault_is_an_answer(
    question: str, reply: httpx.Response, kind: type[object]
) -> None:
    """The token's refusal alone is raised."""
    asked = getattr(directory(ScriptedCrm(lambda _: reply)), question)
    assert isinstance(await asked(), kind)
    refused = getattr(directory(ScriptedCrm(lambda _: refusal(401))), question)
    with pytest.raises(CredentialsRefusedError):
        await refused()


async def test_questions_draw_on_the_allowance_of_pushes() -> None:
    """Without any of it left nothing is asked."""
    crm = telling()
    found = await hubspot(crm.tools(Rations(0))).directory.organization()
    assert isinstance(found, Postponed)
    assert crm.requests == []
