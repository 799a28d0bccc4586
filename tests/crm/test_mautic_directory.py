"""What a Mautic tells of itself, and what becomes of fields that are to be made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

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
from tests.crm.loopback import loopback
from tests.crm.mautic_script import APPLICATION, SELF, TOKEN, error, instance
from tests.crm.support import NOW, Purse, ScriptedCrm

FIELDS = "/api/fields/contact"
BRIEF = "/api/contacts/list/fields"
DEFINITIONS: list[dict[str, Any]] = [
    {
        "id": 6,
        "alias": "email",
        "label": "Email",
        "type": "email",
        "isPublished": True,
        "isRequired": True,
        "isUniqueIdentifier": 1,
        "object": "lead",
        "properties": [],
    },
    {"id": 2, "alias": "firstname", "label": "First Name", "type": "text", "charLengthLimit": 64},
    {
        "id": 40,
        "alias": "size",
        "label": "Size",
        "type": "select",
        "properties": {
            "list": [{"label": "Small", "value": "s"}, {"label": "Large", "value": "l"}]
        },
    },
    {
        "id": 41,
        "alias": "old",
        "label": "Old",
        "type": "multiselect",
        "properties": {"list": "tea|jam"},
    },
    {"id": 42, "alias": "hidden", "label": "Hidden", "type": "text", "isPublished": False},
    {"id": 43, "alias": "companyname", "label": "Name", "type": "text", "object": "company"},
]
USER = {
    "id": 3,
    "username": "sync",
    "email": "owner@example.com",
    "timezone": "Europe/Paris",
    "role": {"isAdmin": False},
}


class Scripted:
    """An instance with fields and a user, which answers in turn to fields that are to be made."""

    def __init__(
        self, *made: httpx.Response, user: Mapping[str, object] = USER, **paths: httpx.Response
    ) -> None:
        """Take the answers; paths: by `contacts`, `fields` or `brief`, in place of good ones."""
        self._made = list(made)
        self._user = user
        self._paths = paths
        self.definitions = list(DEFINITIONS)
        self.crm = ScriptedCrm(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self._made.pop(0)
        name = {FIELDS: "fields", BRIEF: "brief", SELF: "user"}.get(request.url.path, "contacts")
        if name in self._paths:
            return self._paths[name]
        if name == "user":
            return httpx.Response(200, json=self._user, headers={"Mautic-Version": "5.1.1"})
        if name == "brief":
            numbered = {str(one["id"]): one for one in self.definitions}
            return httpx.Response(200, json=numbered)
        start = int(request.url.params.get("start", "0"))
        page = self.definitions[start : start + 4] if name == "fields" else []
        return httpx.Response(200, json={"total": "6", name: page})


async def create(crm: ScriptedCrm, *fields: NewField) -> Sequence[FieldResult]:
    """Make fields of a scripted instance."""
    results = await instance(crm.tools()).directory.create_fields(fields)
    assert isinstance(results, list)
    return results


def made(alias: str) -> httpx.Response:
    """Answer that a field was made."""
    return httpx.Response(201, json={"field": {"id": 50, "alias": alias}})


async def test_fields_are_told_with_types_choices_and_what_is_pushed_there() -> None:
    """From as many pages as there are; not those that are switched off, nor companies'."""
    found = await instance(Scripted().crm.tools()).directory.fields()
    assert found == [
        CrmField(
            "email",
            "Email",
            FieldType.EMAIL,
            "email",
            required=True,
            unique=True,
            maps_to="email",
        ),
        CrmField(
            "firstname", "First Name", FieldType.TEXT, "text", max_length=64, maps_to="first_name"
        ),
        CrmField(
            "size",
            "Size",
            FieldType.PICKLIST,
            "select",
            custom=True,
            choices=(Choice("s", "Small"), Choice("l", "Large")),
        ),
        CrmField(
            "old",
            "Old",
            FieldType.MULTI_PICKLIST,
            "multiselect",
            custom=True,
            choices=(Choice("tea", "tea"), Choice("jam", "jam")),
        ),
    ]


async def test_a_user_who_may_not_administer_fields_is_told_them_in_brief() -> None:
    """To see contacts is enough for that."""
    crm = Scripted(fields=error(403)).crm
    found = await instance(crm.tools()).directory.fields()
    assert isinstance(found, list)
    assert {field.name for field in found} == {"email", "firstname", "size", "old"}
    nothing = instance(Scripted(fields=error(403), brief=error(403)).crm.tools())
    assert isinstance(await nothing.directory.fields(), Rejected)


async def test_fields_that_are_missing_are_made() -> None:
    """With their choices; the name is the one that Mautic gives."""
    scripted = Scripted(made("born"), made("grade"))
    results = await create(
        scripted.crm,
        NewField("born", "Born", FieldType.DATE, unique=True),
        NewField("grade", "", FieldType.PICKLIST, choices=[Choice("1", "good"), Choice("2")]),
    )
    created = FieldStatus.CREATED
    assert results == [FieldResult("born", created), FieldResult("grade", created)]
    sent = [json.loads(one.content) for one in scripted.crm.requests if one.method == "POST"]
    plain = {"group": "core", "isUniqueIdentifier": False}
    choices = [{"label": "good", "value": "1"}, {"label": "2", "value": "2"}]
    assert sent == [
        {
            **plain,
            "label": "Born",
            "alias": "born",
            "type": "date",
            "isUniqueIdentifier": True,
        },
        {
            **plain,
            "label": "grade",
            "alias": "grade",
            "type": "select",
            "properties": {"list": choices},
        },
    ]


async def test_one_that_is_there_is_not_made_again() -> None:
    """With another type it is told, and left as it is; named twice, it is made once."""
    new = NewField("new", "", FieldType.TEXT)
    results = await create(
        Scripted(made("new")).crm,
        NewField("size", "", FieldType.PICKLIST, choices=[Choice("s")]),
        NewField("firstname", "", FieldType.NUMBER),
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


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (NewField("Score", "", FieldType.NUMBER), "INVALID_NAME"),
        (NewField("a-b", "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("a" * 26, "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("", "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("tags", "", FieldType.TEXT), "INVALID_NAME"),
        (NewField("x", "", FieldType.OTHER), "INVALID_TYPE"),
        (NewField("x", "", FieldType.PICKLIST), "INVALID_CHOICES"),
    ],
)
async def test_one_that_mautic_cannot_have_fails_and_is_not_sent(
    field: NewField, code: str
) -> None:
    """It says why; what can be made beside it is made."""
    failed, other = await create(
        Scripted(made("other")).crm, field, NewField("other", "", FieldType.TEXT)
    )
    assert (failed.status, failed.code) == (FieldStatus.FAILED, code)
    assert failed.message
    assert other.status is FieldStatus.CREATED


async def test_a_refusal_is_told_in_mautics_words() -> None:
    """The others are made all the same."""
    new = [NewField(name, "", FieldType.TEXT) for name in ("x", "y")]
    failed, other = await create(Scripted(error(400, "alias: too much"), made("y")).crm, *new)
    assert failed == FieldResult("x", FieldStatus.FAILED, "HTTP_400", "alias: too much")
    assert other.status is FieldStatus.CREATED


async def test_a_user_who_may_not_make_fields_is_trouble_that_stays() -> None:
    """The credentials are good for everything else."""
    found = await instance(Scripted(error(403)).crm.tools()).directory.create_fields(
        [NewField("x", "", FieldType.TEXT)]
    )
    assert isinstance(found, Rejected)
    assert found.code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("role", "write", "others", "making"),
    [
        ({"isAdmin": False}, None, None, None),
        ({"isAdmin": True}, True, True, True),
        (
            {"rawPermissions": {"lead:leads": ["create", "editother", "viewown"]}},
            True,
            False,
            False,
        ),
        ({"rawPermissions": {"lead:leads": ["full"], "lead:fields": ["full"]}}, True, True, True),
        ({"rawPermissions": []}, None, None, None),
    ],
)
async def test_permissions_are_read_and_nothing_is_written(
    role: object, write: object, others: object, making: object
) -> None:
    """What may be read is tried; what may be written is what the role tells, if it does."""
    crm = Scripted(user={**USER, "role": role}).crm
    found = await instance(crm.tools()).directory.permissions()
    assert isinstance(found, list)
    assert {one.name: one.granted for one in found} == {
        "contacts.read": True,
        "contacts.read_all": others,
        "contacts.write": write,
        "fields.read": True,
        "fields.write": making,
    }
    assert {request.method for request in crm.requests} == {"GET"}


async def test_what_the_user_may_not_read_is_told_as_such() -> None:
    """It is an answer, not a fault."""
    crm = Scripted(contacts=error(403), fields=error(403)).crm
    found = await instance(crm.tools()).directory.permissions()
    assert isinstance(found, list)
    granted = {one.name: one.granted for one in found}
    assert granted["contacts.read"] is granted["fields.read"] is False


async def test_the_organization_is_the_instance_and_its_user() -> None:
    """By the address that is called."""
    assert await instance(Scripted().crm.tools()).directory.organization() == Organization(
        "https://mautic.test",
        "sync",
        edition="Mautic 5.1.1",
        time_zone="Europe/Paris",
        email="owner@example.com",
    )


async def test_modules_and_a_password_cost_no_call() -> None:
    """Contacts are what is synced; a password does not expire."""
    crm = Scripted().crm
    directory = directory_of(instance(crm.tools()))
    assert directory is not None
    modules = await directory.modules()
    assert isinstance(modules, list)
    assert [module.name for module in modules if module.synced] == ["contacts"]
    assert await directory.refresh_token() is None
    assert crm.requests == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(429), Postponed),
        (error(403, type="api_disabled"), Postponed),
        (error(500), Retry),
        (httpx.Response(502), Retry),
        (httpx.Response(200, text="<html>"), Retry),
        (httpx.Response(200, json={}), Retry),
    ],
)
async def test_a_question_without_an_answer_is_trouble_of_its_kind(
    reply: httpx.Response, expected: type
) -> None:
    """Whichever question it is."""
    directory = instance(ScriptedCrm(lambda _: reply).tools()).directory
    for answer in (
        await directory.fields(),
        await directory.create_fields([NewField("x", "", FieldType.TEXT)]),
        await directory.permissions(),
        await directory.organization(),
    ):
        assert isinstance(answer, expected)


async def test_refused_credentials_are_raised() -> None:
    """By every question."""
    directory = instance(ScriptedCrm(lambda _: error(401)).tools()).directory
    for ask in (directory.fields, directory.permissions, directory.organization):
        with pytest.raises(CredentialsRefusedError):
            await ask()


class Tokens:
    """A token endpoint that gives another token each time."""

    def __init__(self) -> None:
        """Begin with none."""
        self.given = 0
        self.crm = ScriptedCrm(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != TOKEN:
            return httpx.Response(200, json=USER)
        self.given += 1
        body = {"access_token": f"token-{self.given}", "expires_in": 600, "refresh_token": "next"}
        return httpx.Response(200, json=body)


async def test_a_token_is_renewed_now_even_where_it_still_holds() -> None:
    """And once, where there was none."""
    tokens = Tokens()
    directory = instance(tokens.crm.tools(), APPLICATION).directory
    for given in (1, 2):
        assert await directory.refresh_token() == NOW + timedelta(minutes=10)
        assert tokens.given == given


async def test_a_token_that_would_not_be_kept_is_not_renewed() -> None:
    """The refresh token works but once."""
    tokens = Tokens()
    tools = replace(tokens.crm.tools(), tokens=Purse(lasting=False))
    directory = instance(tools, {**APPLICATION, "refresh_token": "first"}).directory
    assert isinstance(await directory.refresh_token(), Rejected)
    assert tokens.given == 0


async def test_a_token_that_cannot_be_had_is_trouble_or_refused() -> None:
    """As for every call that needs one."""
    down = ScriptedCrm(lambda _: httpx.Response(503))
    assert isinstance(await instance(down.tools(), APPLICATION).directory.refresh_token(), Retry)
    refusal = httpx.Response(400, json={"error": "invalid_client", "error_description": "no"})
    refusing = instance(ScriptedCrm(lambda _: refusal).tools(), APPLICATION)
    with pytest.raises(CredentialsRefusedError):
        await refusing.directory.refresh_token()


async def test_the_simulated_instance_is_described_and_gets_a_field() -> None:
    """Which is known the second time."""
    async with loopback() as crms:
        directory = crms.mautic.directory
        new = NewField("grade", "Grade", FieldType.PICKLIST, choices=[Choice("1", "good")])
        for status in (FieldStatus.CREATED, FieldStatus.EXISTS):
            assert await directory.create_fields([new]) == [FieldResult("grade", status)]
        fields = await directory.fields()
        assert isinstance(fields, list)
        by_name = {field.name: field for field in fields}
        assert by_name["grade"].type is FieldType.PICKLIST
        assert by_name["email"].unique
        assert {field.maps_to for field in fields} - {""} == {
            "email",
            "first_name",
            "last_name",
            "phone",
            "company",
        }
        organization = await directory.organization()
        assert isinstance(organization, Organization)
        assert organization.edition.startswith("Mautic 5")
        permissions = await directory.permissions()
        assert isinstance(permissions, list)
        assert {one.name: one.granted for one in permissions}["contacts.read"] is True
