"""What ConnectionService tells of an account: its token, permissions, modules and fields."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.crm_account_pb2 import CRM_PERMISSION_GRANT_DENIED
from crmsync.v1.crm_field_pb2 import CRM_FIELD_CHECK_EXISTS
from crmsync_server.crm.directory import CrmField, FieldStatus
from crmsync_server.rpc import directory_messages as messages
from crmsync_server.rpc import field_findings
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.directory_rules import check_new_fields
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.rpc.once import once_elsewhere
from crmsync_server.store import config
from crmsync_server.store.db import Database

_MOST_FIELDS = 2_000
_TO_CREATE = timedelta(minutes=5)  # some CRMs make one field a call


@dataclass(frozen=True, slots=True)
class AccountDirectory:
    """Asks CRMs what the accounts of whoever calls are, and makes fields there.

    on_changed: told of (org_id, crm) when fields were made: adapters may know the old ones.
    """

    database: Database
    inquiries: Inquiries
    on_changed: Callable[[str, str], None]

    async def refresh_token(self, request: pb.RefreshTokenRequest) -> pb.RefreshTokenResponse:
        """Renew an access token; see the contract."""
        expire_time = await self.inquiries.ask(
            request.crm, "RefreshToken", lambda directory: directory.refresh_token()
        )
        return pb.RefreshTokenResponse(token=messages.renewed(expire_time), crm=request.crm)

    async def permissions(self, request: pb.GetPermissionsRequest) -> pb.GetPermissionsResponse:
        """Tell what the credentials allow; see the contract."""
        found = await self.inquiries.ask(
            request.crm, "GetPermissions", lambda directory: directory.permissions()
        )
        told = messages.permissions(found)
        lacking = [one for one in told if one.needed and one.grant == CRM_PERMISSION_GRANT_DENIED]
        return pb.GetPermissionsResponse(permissions=told, sufficient=not lacking, crm=request.crm)

    async def organization(self, request: pb.GetOrganizationRequest) -> pb.GetOrganizationResponse:
        """Tell whose account it is; see the contract."""
        found = await self.inquiries.ask(
            request.crm, "GetOrganization", lambda directory: directory.organization()
        )
        return pb.GetOrganizationResponse(
            organization=messages.organization(found), crm=request.crm
        )

    async def modules(self, request: pb.ListModulesRequest) -> pb.ListModulesResponse:
        """List the kinds of records; see the contract."""
        found = await self.inquiries.ask(
            request.crm, "ListModules", lambda directory: directory.modules()
        )
        modules = [messages.module(one) for one in sorted(found, key=lambda one: one.name)]
        return pb.ListModulesResponse(modules=modules, crm=request.crm)

    async def fields(self, request: pb.ListFieldsRequest) -> pb.ListFieldsResponse:
        """List the fields of contacts; see the contract."""
        found = await self.inquiries.ask(
            request.crm, "ListFields", lambda directory: directory.fields()
        )
        passing = [one for one in sorted(found, key=lambda one: one.name) if _passes(one, request)]
        return pb.ListFieldsResponse(
            fields=[messages.field(one) for one in passing[:_MOST_FIELDS]],
            total_size=len(passing),
            crm=request.crm,
        )

    async def create_fields(self, request: pb.CreateFieldsRequest) -> pb.CreateFieldsResponse:
        """Make fields; see the contract."""
        self.inquiries.crms.find(request.crm)
        check_new_fields(request.fields)
        return await once_elsewhere(
            self.database, request, pb.CreateFieldsResponse, lambda: self._created(request)
        )

    async def validate_fields(self, request: pb.ValidateFieldsRequest) -> pb.ValidateFieldsResponse:
        """Compare fields with those that are expected; see the contract."""
        found = await self.inquiries.ask(
            request.crm, "ValidateFields", lambda directory: directory.fields()
        )
        wanted = field_findings.given(request.fields) or await self._written(request.crm)
        told = [*field_findings.findings(wanted, field_findings.Fields(found))]
        valid = all(one.check == CRM_FIELD_CHECK_EXISTS for one in told)
        return pb.ValidateFieldsResponse(findings=told, valid=valid, crm=request.crm)

    async def _created(self, request: pb.CreateFieldsRequest) -> pb.CreateFieldsResponse:
        wanted = [messages.new_field(one) for one in request.fields]
        results = await self.inquiries.ask(
            request.crm,
            "CreateFields",
            lambda directory: directory.create_fields(wanted),
            _TO_CREATE,
        )
        told = [
            messages.result(asked.name, one)
            for asked, one in zip(wanted, results, strict=True)  # an adapter may be anybody's code
        ]
        if any(one.status is FieldStatus.CREATED for one in results):
            self.on_changed(current_caller().org_id, request.crm)
        return pb.CreateFieldsResponse(results=told, crm=request.crm)

    async def _written(self, crm: str) -> list[field_findings.Expected]:
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            [row] = await config.list(connection, org_id, [crm])
        return field_findings.written(config.Config.of(row))


def _passes(field: CrmField, request: pb.ListFieldsRequest) -> bool:
    text = request.name_contains.casefold()
    named = text in field.name.casefold() or text in field.label.casefold()
    return named and (field.custom or not request.only_custom)
