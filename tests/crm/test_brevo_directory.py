"""What a Brevo account tells of itself, and what becomes of attributes that are to be made."""

from collections.abc import Sequence

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    NewField,
    Organization,
    directory_of,
)
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from tests.crm.brevo_script import adapter, body
from tests.crm.loopback import loopback
from tests.crm.support import Rations, ScriptedCrm

DEFINITIONS = [
    {"name": "FIRSTNAME", "category": "normal", "type": "text"},
    {"name": "SMS", "category": "normal", "type": "text"},
    {"name": "SCORE", "category": "normal", "type": "float"},
    {
        "name": "SIZE",
        "category": "category",
        "enumeration": [{"value": 1, "label": "small"}, {"value": 2, "label": "large"}],
    },
    {
        "name": "LIKES",
        "category": "normal",
        "type": "multiple-choice",
        "multiCategoryOptions": ["tea", "jam"],
    },
    {"name": "TOTAL", "category": "calculated", "calculatedValue": "SUM[SCORE]"},
]
OWNER = {
    "email": "owner@example.com",
    "companyName": "Acme",
    "plan": [{"type": "free"}, {"type": "sms"}, {"type": "free"}],
    "address": {"country": "France"},
}


def account(*made: httpx.Response, definitions: Sequence[object] = DEFINITIONS) -> ScriptedCrm:
    """Return an account with attributes, which answers in turn to those that are to be made."""
    replies = list(made)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return replies.pop(0)
        if request.url.path == "/account":
            return httpx.Response(200, json=OWNER)
        found = {"attributes": definitions, "contacts": [], "count": 0}
        return httpx.Response(200, json=found)

    return ScriptedCrm(respond)


async def create(crm: ScriptedCrm, *fields: NewField) -> Sequence[FieldResult]:
    """Make attributes of a scripted account."""
    results = await adapter(crm).directory.create_fields(fields)
    assert isinstance(results, list)
    return results


async def test_fields_are_told_with_types_choices_and_what_is_pushed_there() -> None:
    """What Brevo works out cannot be written; its address is no attribute, and is needed."""
    found = await adapter(account()).directory.fields()
    assert found == [
        CrmField(
            "EMAIL", "EMAIL", FieldType.EMAIL, "email", required=True, unique=True, maps_to="email"
        ),
        CrmField("FIRSTNAME", "FIRSTNAME", FieldType.TEXT, "text", maps_to="first_name"),
        CrmField("SMS", "SMS", FieldType.PHONE, "text", unique=True, maps_to="phone"),
        CrmField("SCORE", "SCORE", FieldType.NUMBER, "float", custom=True),
        CrmField(
            "SIZE",
            "SIZE",
            FieldType.PICKLIST,
            "category",
            custom=True,
            choices=(Choice("1", "small"), Choice("2", "large")),
        ),
        CrmField(
            "LIKES",
            "LIKES",
            FieldType.MULTI_PICKLIST,
            "multiple-choice",
            custom=True,
            choices=(Choice("tea", "tea"), Choice("jam", "jam")),
        ),
        CrmField("TOTAL", "TOTAL", FieldType.OTHER, "calculated", read_only=True, custom=True),
    ]


async def test_attributes_that_are_missing_are_made_each_as_its_type() -> None:
    """Choices as a category with numbers, or as many at once by name."""
    created = httpx.Response(201, json={})
    crm = account(created, created, created)
    results = await create(
        crm,
        NewField("BORN", "Born", FieldType.DATE),
        NewField("GRADE", "", FieldType.PICKLIST, choices=[Choice("1", "good"), Choice("2")]),
        NewField("HOBBIES", "", FieldType.MULTI_PICKLIST, choices=[Choice("tea", "Tea")]),
    )
    assert {result.status for result in results} == {FieldStatus.CREATED}
    sent = {request.url.path: body(request) for request in crm.requests[1:]}
    assert sent == {
        "/contacts/attributes/normal/BORN": {"type": "date"},
        "/contacts/attributes/category/GRADE": {
            "type": "category",
            "enumeration": [{"value": 1, "label": "good"}, {"value": 2, "label": "2"}],
        },
        "/contacts/attributes/normal/HOBBIES": {
            "type": "multiple-choice",
            "multiCategoryOptions": ["tea"],
        },
    }


async def test_one_that_is_there_is_not_made_again() -> None:
    """With another type it is told, and left as it is; named twice, it is made once."""
    crm = account(httpx.Response(201, json={}))
    new = NewField("NEW", "", FieldType.TEXT)
    results = await create(
        crm,
        NewField("SCORE", "", FieldType.NUMBER),
        NewField("SIZE", "", FieldType.TEXT),
        new,
        new,
    )
    assert [result.status for result in results] == [
        FieldStatus.EXISTS,
        FieldStatus.MISMATCH,
        FieldStatus.CREATED,
        FieldStatus.EXISTS,
    ]
    assert results[1].code == "TYPE_MISMATCH"
    assert "category" in results[1].message
    assert crm.paths.count("/contacts/attributes/normal/NEW") == 1


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (NewField("score", "", FieldType.NUMBER), "INVALID_NAME"),
        (NewField("A/B", "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("", "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("EMAIL", "", FieldType.EMAIL), "INVALID_NAME"),
        (NewField("X", "", FieldType.OTHER), "INVALID_TYPE"),
        (NewField("X", "", FieldType.TEXT, unique=True), "INVALID_UNIQUE"),
        (NewField("X", "", FieldType.PICKLIST), "INVALID_CHOICES"),
        (NewField("X", "", FieldType.PICKLIST, choices=[Choice("red")]), "INVALID_CHOICES"),
        (NewField("X", "", FieldType.MULTI_PICKLIST), "INVALID_CHOICES"),
    ],
)
async def test_one_that_brevo_cannot_have_fails_and_is_not_sent(field: NewField, code: str) -> None:
    """It says why; what can be made beside it is made."""
    crm = account(httpx.Response(201, json={}))
    failed, made = await create(crm, field, NewField("OTHER", "", FieldType.TEXT))
    assert (failed.status, failed.code) == (FieldStatus.FAILED, code)
    assert failed.message
    assert made.status is FieldStatus.CREATED


async def test_a_refusal_is_told_in_brevos_words() -> None:
    """The others are made all the same."""
    no = httpx.Response(400, json={"code": "invalid_parameter", "message": "too many"})
    new = [NewField(name, "", FieldType.TEXT) for name in ("X", "Y")]
    failed, made = await create(account(no, httpx.Response(201, json={})), *new)
    assert failed == FieldResult("X", FieldStatus.FAILED, "INVALID_PARAMETER", "too many")
    assert made.status is FieldStatus.CREATED


async def test_one_that_somebody_else_made_in_between_exists() -> None:
    """Brevo refuses the second of the same name."""
    definitions: list[object] = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"attributes": list(definitions)})
        definitions.append({"name": "X", "category": "normal", "type": "text"})
        return httpx.Response(400, json={"code": "invalid_parameter", "message": "unique"})

    (result,) = await create(ScriptedCrm(respond), NewField("X", "", FieldType.TEXT))
    assert result.status is FieldStatus.EXISTS


async def test_permissions_are_read_and_nothing_is_written() -> None:
    """A key tells nothing of what it may write; one that may not read is told as such."""
    quota, crm = Rations(), account()
    found = await adapter(crm, quota).directory.permissions()
    assert isinstance(found, list)
    assert {one.name: one.granted for one in found} == {
        "contacts.read": True,
        "fields.read": True,
        "contacts.write": None,
        "fields.write": None,
    }
    assert {request.method for request in crm.requests} == {"GET"}
    assert set(quota.taken) == {"contacts_hourly", "contacts"}
    forbidden = httpx.Response(403, json={"code": "permission_denied", "message": "no"})
    crm = ScriptedCrm(lambda _: forbidden)
    found = await adapter(crm).directory.permissions()
    assert isinstance(found, list)
    assert {one.granted for one in found} == {False, None}


async def test_the_organization_costs_one_of_the_other_calls() -> None:
    """Those are a hundred an hour."""
    quota = Rations()
    found = await adapter(account(), quota).directory.organization()
    assert found == Organization(
        "owner@example.com",
        "Acme",
        edition="free, sms",
        country="France",
        email="owner@example.com",
    )
    assert quota.taken == ["other"]


async def test_modules_and_token_cost_no_call() -> None:
    """Contacts are what is synced; a key does not expire."""
    crm = account()
    directory = directory_of(adapter(crm))
    assert directory is not None
    modules = await directory.modules()
    assert isinstance(modules, list)
    assert [module.name for module in modules if module.synced] == ["contacts"]
    assert await directory.refresh_token() is None
    assert crm.requests == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (httpx.Response(429), Postponed),
        (httpx.Response(500), Retry),
        (httpx.Response(502), Retry),
        (httpx.Response(200, text="<html>"), Retry),
        (httpx.Response(404, json={"code": "document_not_found"}), Rejected | Retry),
    ],
)
async def test_a_question_without_an_answer_is_trouble_of_its_kind(
    reply: httpx.Response, expected: type
) -> None:
    """Whichever question it is."""
    directory = adapter(ScriptedCrm(lambda _: reply)).directory
    for answer in (
        await directory.fields(),
        await directory.create_fields([NewField("X", "", FieldType.TEXT)]),
        await directory.permissions(),
        await directory.organization(),
    ):
        assert isinstance(answer, expected)


async def test_a_refused_key_is_raised() -> None:
    """By every question."""
    refusal = httpx.Response(401, json={"code": "unauthorized", "message": "Key not found"})
    directory = adapter(ScriptedCrm(lambda _: refusal)).directory
    for ask in (directory.fields, directory.permissions, directory.organization):
        with pytest.raises(CredentialsRefusedError):
            await ask()


async def test_the_simulated_account_is_described_and_gets_an_attribute() -> None:
    """Which is then pushed to, and known the second time."""
    async with loopback() as crms:
        directory = crms.brevo.directory
        new = NewField("GRADE", "", FieldType.PICKLIST, choices=[Choice("1", "good")])
        for status in (FieldStatus.CREATED, FieldStatus.EXISTS):
            assert await directory.create_fields([new]) == [FieldResult("GRADE", status)]
        fields = await directory.fields()
        assert isinstance(fields, list)
        by_name = {field.name: field for field in fields}
        assert by_name["GRADE"].type is FieldType.PICKLIST
        assert by_name["GRADE"].choices == (Choice("1", "good"),)
        assert {field.maps_to for field in fields} - {""} == {
            "email",
            "first_name",
            "last_name",
            "phone",
            "company",
        }
        organization = await directory.organization()
        assert isinstance(organization, Organization)
        assert organization.name
        permissions = await directory.permissions()
        assert isinstance(permissions, list)
        assert {one.granted for one in permissions} == {True, None}
