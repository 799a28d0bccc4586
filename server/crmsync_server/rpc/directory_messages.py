"""What accounts tell of themselves, as messages; and fields to be made, from messages."""

from collections.abc import Iterable
from datetime import datetime

from crmsync.v1 import crm_account_pb2, crm_field_pb2
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    Module,
    NewField,
    Organization,
    Permission,
)
from crmsync_server.crm.hiding import keepable
from crmsync_server.rpc.convert import timestamp

_LONGEST = 500  # characters of a message

_TYPE = "CRM_FIELD_TYPE_"
_GRANTS = {
    True: crm_account_pb2.CRM_PERMISSION_GRANT_GRANTED,
    False: crm_account_pb2.CRM_PERMISSION_GRANT_DENIED,
    None: crm_account_pb2.CRM_PERMISSION_GRANT_UNKNOWN,
}
_WORDLESS = (FieldStatus.CREATED, FieldStatus.EXISTS)


def field_type(kind: FieldType | None) -> crm_field_pb2.CrmFieldType.ValueType:
    """Return a type in the contract's words; UNSPECIFIED where any will do."""
    if kind is None:
        return crm_field_pb2.CRM_FIELD_TYPE_UNSPECIFIED
    return crm_field_pb2.CrmFieldType.Value(f"{_TYPE}{kind}")


def type_of(given: crm_field_pb2.CrmFieldType.ValueType) -> FieldType | None:
    """Return a type that a caller named; None where any will do."""
    if given == crm_field_pb2.CRM_FIELD_TYPE_UNSPECIFIED:
        return None
    return FieldType(crm_field_pb2.CrmFieldType.Name(given).removeprefix(_TYPE))


def field(told: CrmField) -> crm_field_pb2.CrmField:
    """Turn a field of a CRM into its message."""
    return crm_field_pb2.CrmField(
        name=keepable(told.name),
        label=keepable(told.label),
        type=field_type(told.type),
        vendor_type=keepable(told.vendor_type),
        max_length=told.max_length,
        required=told.required,
        read_only=told.read_only,
        unique=told.unique,
        custom=told.custom,
        choices=[
            crm_field_pb2.CrmFieldChoice(value=keepable(one.value), label=keepable(one.label))
            for one in told.choices
        ],
        maps_to=told.maps_to,
    )


def new_field(given: crm_field_pb2.NewCrmField) -> NewField:
    """Return a field to be made; what people see is its name, or a value, where nothing is said."""
    kind = type_of(given.type)
    assert kind is not None  # noqa: S101 - the contract's rules allow no other
    return NewField(
        name=given.name,
        label=given.label or given.name,
        type=kind,
        max_length=given.max_length or None,
        choices=tuple(Choice(one.value, one.label or one.value) for one in given.choices),
        unique=given.unique,
    )


def result(name: str, told: FieldResult) -> crm_field_pb2.CrmFieldResult:
    """Turn what became of a field, which was asked for under this name, into its message."""
    wordless = told.status in _WORDLESS
    return crm_field_pb2.CrmFieldResult(
        name=name,
        outcome=crm_field_pb2.CrmFieldOutcome.Value(f"CRM_FIELD_OUTCOME_{told.status}"),
        crm_name=keepable(told.name),
        code="" if wordless else told.code,
        message="" if wordless else told.message[:_LONGEST],
    )


def permissions(told: Iterable[Permission]) -> list[crm_account_pb2.CrmPermission]:
    """Turn what credentials allow into its messages."""
    return [
        crm_account_pb2.CrmPermission(
            name=one.name,
            grant=_GRANTS[one.granted],
            detail=keepable(one.detail),
            needed=one.needed,
        )
        for one in told
    ]


def organization(told: Organization) -> crm_account_pb2.CrmOrganization:
    """Turn whose account it is into its message."""
    return crm_account_pb2.CrmOrganization(
        id=keepable(told.id),
        name=keepable(told.name),
        edition=keepable(told.edition),
        country=keepable(told.country),
        currency=keepable(told.currency),
        time_zone=keepable(told.time_zone),
        email=keepable(told.email),
    )


def module(told: Module) -> crm_account_pb2.CrmModule:
    """Turn a kind of record into its message."""
    return crm_account_pb2.CrmModule(
        name=keepable(told.name),
        label=keepable(told.label),
        synced=told.synced,
        creatable=told.creatable,
        custom=told.custom,
    )


def renewed(expire_time: datetime | None) -> crm_account_pb2.TokenStanding:
    """Turn until when a renewed token holds, None where there is none, into its message."""
    if expire_time is None:
        return crm_account_pb2.TokenStanding(status=crm_account_pb2.TOKEN_STATUS_NOT_USED)
    return crm_account_pb2.TokenStanding(
        status=crm_account_pb2.TOKEN_STATUS_VALID, expire_time=timestamp(expire_time)
    )
