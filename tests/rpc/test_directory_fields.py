"""Making fields at a CRM, and comparing them with what is expected."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import crm_field_pb2 as field
from crmsync.v1.crm_field_pb2 import CrmFieldChoice, ExpectedCrmField, NewCrmField
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    NewField,
)
from crmsync_server.crm.outcomes import Retry
from crmsync_server.store import config
from crmsync_server.store.config import Config
from crmsync_server.store.db import Database
from tests.rpc.connections import ORG
from tests.rpc.directories import CANARY, House, telling
from tests.rpc.serving import failure_of

NUMBER, TEXT, PICKLIST = (
    field.CRM_FIELD_TYPE_NUMBER,
    field.CRM_FIELD_TYPE_TEXT,
    field.CRM_FIELD_TYPE_PICKLIST,
)
SCORE = NewCrmField(name="Score", type=NUMBER)
GRADE = NewCrmField(
    name="Grade",
    label="The grade",
    type=PICKLIST,
    choices=[CrmFieldChoice(value="A", label="Best"), CrmFieldChoice(value="B")],
)
CREATED = [FieldResult("Score", FieldStatus.CREATED)]
EXISTS = field.CRM_FIELD_CHECK_EXISTS
CHECKS = (
    ("MISSING", {"name": "Nothing"}, "no field called Nothing"),
    ("EXISTS", {"name": "Score"}, ""),
    ("EXISTS", {"name": "score", "type": NUMBER}, ""),
    ("READ_ONLY", {"name": "Created_Time", "type": NUMBER}, "sets Created_Time itself"),
    ("MISMATCH", {"name": "Score", "type": TEXT}, "Score is NUMBER (integer), expected was TEXT"),
    ("TOO_SHORT", {"name": "Nick", "min_length": 31}, "takes 30 characters, expected 31"),
    ("EXISTS", {"name": "Nick", "min_length": 30}, ""),
    ("EXISTS", {"name": "Score", "min_length": 31, "choices": ["A"]}, ""),
    ("EXISTS", {"name": "Grade", "choices": ["B", "A"]}, ""),
    ("CHOICES_MISSING", {"name": "Grade", "choices": ["A", "C", "D"]}, "does not take C, D"),
    (
        "CHOICES_MISSING",
        {"name": "Grade", "choices": [str(n) for n in range(7)]},
        "does not take 0, 1, 2, 3, 4 and 2 more",
    ),
)
FIELDS = [
    CrmField("Score", "Score", FieldType.NUMBER, "integer", custom=True),
    CrmField("Nick", "Nick", FieldType.TEXT, "text", max_length=30),
    CrmField(
        "Grade",
        "Grade",
        FieldType.PICKLIST,
        "picklist",
        choices=[Choice("A"), Choice("B")],
    ),
    CrmField("Created_Time", "Created", FieldType.DATE_TIME, "datetime", read_only=True),
    CrmField("Last_Name", "Last name", FieldType.TEXT, "text", maps_to="last_name"),
    CrmField("Account", "Company", FieldType.OTHER, "lookup", read_only=True, maps_to="company"),
]


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Run a service."""
    async with telling(database) as running:
        yield running


def creating(*fields: NewCrmField, request_id: str = "") -> pb.CreateFieldsRequest:
    """Ask for fields to be made."""
    return pb.CreateFieldsRequest(crm="zoho", fields=fields, request_id=request_id)


async def test_each_field_has_its_result_in_order(house: House) -> None:
    """Under the name that was asked for, with the CRM's own beside it, and why it was not made."""
    results = [
        FieldResult("Score1", FieldStatus.CREATED),
        FieldResult("Grade", FieldStatus.MISMATCH, "TYPE", f"it is a text, {CANARY}"),
        FieldResult("", FieldStatus.FAILED, "LIMIT", "x" * 600),
        FieldResult("There", FieldStatus.EXISTS, "DUPLICATE", "it was there"),
    ]
    house.tell(create_fields=results)
    other, there = NewCrmField(name="Other", type=TEXT), NewCrmField(name="There", type=TEXT)
    told = (await house.stub.CreateFields(creating(SCORE, GRADE, other, there))).results
    assert [(one.name, one.outcome, one.crm_name, one.code, one.message) for one in told] == [
        ("Score", field.CRM_FIELD_OUTCOME_CREATED, "Score1", "", ""),
        ("Grade", field.CRM_FIELD_OUTCOME_MISMATCH, "Grade", "TYPE", "it is a text, [hidden]"),
        ("Other", field.CRM_FIELD_OUTCOME_FAILED, "", "LIMIT", "x" * 500),
        ("There", field.CRM_FIELD_OUTCOME_EXISTS, "There", "", ""),
    ]


async def test_adapters_are_given_up_where_a_field_was_made(house: House) -> None:
    """They may know the fields that there were; nothing was made, nothing is given up."""
    house.tell(create_fields=[FieldResult("Score", FieldStatus.EXISTS)])
    await house.stub.CreateFields(creating(SCORE))
    assert house.changed == []
    house.tell(create_fields=CREATED)
    await house.stub.CreateFields(creating(SCORE))
    assert house.changed == [(ORG, "zoho")]


async def test_a_field_is_made_as_it_was_asked_for(house: House) -> None:
    """What people see is the name, or the value, where nothing else was said."""
    house.tell(create_fields=[*CREATED, FieldResult("Grade", FieldStatus.CREATED)])
    await house.stub.CreateFields(creating(SCORE, GRADE))
    choices = (Choice("A", "Best"), Choice("B", "B"))
    assert house.directory.made == [
        [
            NewField("Score", "Score", FieldType.NUMBER),
            NewField("Grade", "The grade", FieldType.PICKLIST, choices=choices),
        ]
    ]


async def test_a_repeated_request_asks_the_crm_once(house: House) -> None:
    """Whoever did not hear the answer gets it again; with other fields it is another request."""
    house.tell(create_fields=CREATED)
    request = creating(SCORE, request_id=str(uuid4()))
    first = await house.stub.CreateFields(request)
    house.tell(create_fields=[FieldResult("Score", FieldStatus.EXISTS)])
    assert await house.stub.CreateFields(request) == first
    assert len(house.directory.made) == 1
    again = await house.stub.CreateFields(creating(SCORE))
    assert again.results[0].outcome == field.CRM_FIELD_OUTCOME_EXISTS
    other = creating(NewCrmField(name="Score", type=TEXT), request_id=request.request_id)
    refused = await failure_of(house.stub.CreateFields(other))
    assert refused.info.reason == "REQUEST_ID_REUSED"


async def test_of_two_at_once_both_hear_what_ended_first(house: House) -> None:
    """No transaction is held while the CRM is asked, so that both ask it: that is safe."""
    request = creating(SCORE, request_id=str(uuid4()))
    house.tell(create_fields=CREATED)
    asked = [house.stub.CreateFields(request) for _ in range(4)]
    answers = [await one for one in asked]
    assert all(one == answers[0] for one in answers)
    assert await house.stub.CreateFields(request) == answers[0]


async def test_an_error_is_not_remembered(house: House) -> None:
    """The same request does its work once the CRM is well."""
    request = creating(SCORE, request_id=str(uuid4()))
    house.tell(create_fields=Retry("HTTP_503", "down"))
    refused = await failure_of(house.stub.CreateFields(request))
    assert refused.info.reason == "CRM_UNAVAILABLE"
    house.tell(create_fields=CREATED)
    told = await house.stub.CreateFields(request)
    assert told.results[0].outcome == field.CRM_FIELD_OUTCOME_CREATED


async def test_a_result_that_is_missing_is_a_fault(house: House) -> None:
    """Nobody is told that a field was made which the adapter does not account for."""
    house.tell(create_fields=CREATED)
    refused = await failure_of(house.stub.CreateFields(creating(SCORE, GRADE)))
    assert refused.info.reason == "INTERNAL"


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ([], "fields", "must not be empty"),
        ([NewCrmField(type=TEXT)], "fields[0].name", "must not be empty"),
        ([NewCrmField(name="n" * 101, type=TEXT)], "fields[0].name", "100 characters"),
        ([NewCrmField(name=" n", type=TEXT)], "fields[0].name", "begin or end with a blank"),
        ([NewCrmField(name="n")], "fields[0].type", "must be one of CRM_FIELD_TYPE_TEXT"),
        ([NewCrmField(name="n", type=12)], "fields[0].type", "must be one of"),  # type: ignore[arg-type]
        (
            [NewCrmField(name="n", type=TEXT, max_length=65_536)],
            "fields[0].max_length",
            "65535",
        ),
        (
            [NewCrmField(name="n", type=NUMBER, max_length=1)],
            "fields[0].max_length",
            "but for TEXT",
        ),
        ([NewCrmField(name="n", type=PICKLIST)], "fields[0].choices", "must not be empty"),
        (
            [NewCrmField(name="n", type=TEXT, choices=[CrmFieldChoice(value="A")])],
            "fields[0].choices",
            "but for PICKLIST",
        ),
        (
            [NewCrmField(name="n", type=PICKLIST, choices=[CrmFieldChoice(value="A")] * 2)],
            "fields[0].choices[1].value",
            "another than that of choices[0]",
        ),
        (
            [SCORE, GRADE, NewCrmField(name="SCORE", type=TEXT)],
            "fields[2].name",
            "must be another than that of fields[0], Score",
        ),
    ],
)
async def test_bad_fields_are_named_and_nothing_is_made(
    house: House, fields: list[NewCrmField], path: str, why: str
) -> None:
    """And it is said what would be right."""
    refused = await failure_of(house.stub.CreateFields(creating(*fields)))
    assert (refused.code, refused.info.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )
    assert why in refused.violations[path], refused.violations
    assert house.directory.made == []


async def test_more_fields_than_a_call_takes_are_counted(house: House) -> None:
    """Before any is looked at."""
    fields = [NewCrmField(name=f"n{n}", type=TEXT) for n in range(101)]
    refused = await failure_of(house.stub.CreateFields(creating(*fields)))
    assert refused.info.reason == "TOO_MANY_ITEMS"
    assert refused.info.metadata == {"field": "fields", "limit": "100", "received": "101"}


@pytest.mark.parametrize(("check", "expected", "why"), CHECKS)
async def test_a_field_is_judged_by_what_is_expected_of_it(
    house: House, check: str, expected: dict[str, Any], why: str
) -> None:
    """The worst is told, with what the CRM has and what would be right."""
    house.tell(fields=FIELDS)
    request = pb.ValidateFieldsRequest(crm="zoho", fields=[ExpectedCrmField(**expected)])
    told = await house.stub.ValidateFields(request)
    (finding,) = told.findings
    assert field.CrmFieldCheck.Name(finding.check) == f"CRM_FIELD_CHECK_{check}"
    assert (why in finding.message) if why else not finding.message
    assert (finding.name, finding.origin) == (expected["name"], "fields[0]")
    assert finding.expected_type == expected.get("type", 0)
    assert finding.HasField("field") is (check != "MISSING")
    assert told.valid is (check == "EXISTS")
    assert house.directory.asked == ["fields"]


async def test_findings_come_in_the_order_of_the_request(house: House) -> None:
    """One bad field makes the whole invalid, and hides no other."""
    house.tell(fields=FIELDS)
    names = ["Nothing", "Score", "Nick"]
    request = pb.ValidateFieldsRequest(
        crm="zoho", fields=[ExpectedCrmField(name=name) for name in names]
    )
    told = await house.stub.ValidateFields(request)
    assert [one.name for one in told.findings] == names
    assert [one.check == EXISTS for one in told.findings] == [False, True, True]
    assert not told.valid


async def configure(database: Database, configured: Config) -> None:
    """Configure what is written at zoho."""
    async with database.org(ORG) as connection:
        await config.update(connection, ORG, "zoho", lambda _: configured)


async def test_without_fields_those_that_the_configuration_writes_are_looked_for(
    house: House, database: Database
) -> None:
    """A contact's own field by what the CRM keeps it in, tags only where there is a field."""
    targets = ["company", "last_name", "phone", "tags", "Score"]
    rules = tuple({"target": target, "field": "email"} for target in targets)
    properties = ("Nick", "Score", "Missing")
    await configure(database, Config(mapping=rules, custom_properties=properties))
    house.tell(fields=FIELDS)
    told = await house.stub.ValidateFields(pb.ValidateFieldsRequest(crm="zoho"))
    found = [
        (one.origin, one.name, field.CrmFieldCheck.Name(one.check).removeprefix("CRM_FIELD_CHECK_"))
        for one in told.findings
    ]
    assert found == [
        ("field_mapping.rules[0]", "company", "READ_ONLY"),
        ("field_mapping.rules[1]", "last_name", "EXISTS"),
        ("field_mapping.rules[2]", "phone", "MISSING"),
        ("field_mapping.rules[4]", "Score", "EXISTS"),
        ("custom_properties[0]", "Nick", "EXISTS"),
        ("custom_properties[2]", "Missing", "MISSING"),
    ]
    assert told.findings[2].message == "the CRM has no field for contacts' phone"


async def test_where_nothing_is_written_by_name_nothing_is_wrong(house: House) -> None:
    """What contacts bring along is not known beforehand."""
    house.tell(fields=FIELDS)
    told = await house.stub.ValidateFields(pb.ValidateFieldsRequest(crm="zoho"))
    assert (list(told.findings), told.valid) == ([], True)
