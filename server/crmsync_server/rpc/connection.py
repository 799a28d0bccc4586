"""ConnectionService: the accounts that an organization has at CRMs."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import connection_service_pb2_grpc
from crmsync_server.crm.adapter import Account, Capabilities
from crmsync_server.crm.addresses import Networks
from crmsync_server.errors import CrmDisabledError, InvalidRequestError, Violation
from crmsync_server.rpc import connection_fields as fields
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.connection_standing import Examiner
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.credentials import Accounts, Stored, Verdict, ask, unfit
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.directory import AccountDirectory
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, page_size, page_token
from crmsync_server.store import account, lane, lead_schedule
from crmsync_server.store import connection as connections
from crmsync_server.store import vault as vaults
from crmsync_server.store.connection import Draft, Found
from crmsync_server.store.db import Database
from crmsync_server.store.health import ConnectionHealth
from crmsync_server.store.keys import KeyFileError

# Why a lane may stand still that other credentials, options or another address can set going.
_CURABLE = ("CREDENTIALS_REFUSED", "MISCONFIGURED", "CIRCUIT_OPEN")

Request = TypeVar("Request", pb.CreateConnectionRequest, pb.UpdateConnectionRequest)


@dataclass(frozen=True, slots=True)
class ConnectionService(connection_service_pb2_grpc.ConnectionServiceServicer):
    """Keeps connections; credentials go into the vault and to the CRM, and nowhere else.

    networks: those that CRMs may be called in besides public ones.
    on_changed: told of (org_id, crm) after a commit that changed a connection, and when fields were
        made at its CRM.
    on_queued: told of (org_id, crm) after a commit that may have set a lane going.
    clock: tells the time.
    """

    database: Database
    vault: vaults.Vault
    accounts: Accounts
    crms: Crms
    networks: Networks
    on_changed: Callable[[str, str], None]
    on_queued: Callable[[str, str], None]
    clock: Callable[[], datetime]

    @override
    async def CreateConnection(
        self, request: pb.CreateConnectionRequest, context: Context
    ) -> pb.CreateConnectionResponse:
        """Create a connection; see the contract."""
        caller, crm = current_caller(), request.connection.crm
        _require_crm(crm)
        self.crms.find(crm)
        url = fields.url_of(request.connection.base_url, fields.STORED, self.networks)
        draft = fields.draft_of(request.connection, request.credentials.secrets, url)
        able = self._fit(crm, draft, draft.secrets or {})

        async def work(connection: AsyncConnection) -> pb.CreateConnectionResponse:
            row = await connections.create(connection, caller.org_id, crm, draft, self.vault)
            if able.keeps_leads:
                await lead_schedule.make(connection, caller.org_id, crm)
            await lane.resume(connection, caller.org_id, crm, codes=_CURABLE)
            return pb.CreateConnectionResponse(connection=fields.message_of(row))

        async with self.database.org(caller.org_id) as connection:
            response = await once(
                connection, self._disguised(request), pb.CreateConnectionResponse, work
            )
        self._tell(crm)
        return response

    @override
    async def GetConnection(
        self, request: pb.GetConnectionRequest, context: Context
    ) -> pb.GetConnectionResponse:
        """Return a connection; see the contract."""
        caller = current_caller()
        async with self.database.org(caller.org_id) as connection:
            row = await connections.get(connection, caller.org_id, UUID(request.connection_id))
        return pb.GetConnectionResponse(connection=fields.message_of(row))

    @override
    async def ListConnections(
        self, request: pb.ListConnectionsRequest, context: Context
    ) -> pb.ListConnectionsResponse:
        """List connections, by CRM; see the contract."""
        caller, size = current_caller(), page_size(request.page_size)
        if request.crm:
            self.crms.find(request.crm)
        cursor = cursor_of(request)
        async with self.database.org(caller.org_id) as connection:
            rows = await connections.list(
                connection,
                caller.org_id,
                size=size + 1,
                crm=request.crm or None,
                after_crm=cursor[0] if cursor else None,
            )
        page, more = rows[:size], len(rows) > size
        return pb.ListConnectionsResponse(
            connections=[fields.message_of(row) for row in page],
            next_page_token=page_token(request, [page[-1].crm]) if more else "",
        )

    @override
    async def UpdateConnection(
        self, request: pb.UpdateConnectionRequest, context: Context
    ) -> pb.UpdateConnectionResponse:
        """Change a connection; see the contract."""
        caller, given = current_caller(), request.connection
        _require_id(given.id)
        url = fields.url_of(given.base_url, fields.STORED, self.networks)

        async def work(connection: AsyncConnection) -> pb.UpdateConnectionResponse:
            row = await connections.lock(connection, caller.org_id, UUID(given.id))
            draft = fields.changed(row, request, url)
            secrets = draft.secrets
            if secrets is None:
                sealed = await connections.secrets(connection, caller.org_id, row.id)
                owner = vaults.Account(caller.org_id, row.id)
                secrets = self.vault.open_all(owner, row.key_id, sealed)
            self._fit(row.crm, draft, secrets)
            change = (row.id, given.version, lambda _: draft)
            after = await connections.update(connection, caller.org_id, change, self.vault)
            if after.version != row.version:
                await lane.resume(connection, caller.org_id, row.crm, codes=_CURABLE)
            if after.base_url != row.base_url:
                await account.forget(connection, caller.org_id, row.crm)
            return pb.UpdateConnectionResponse(connection=fields.message_of(after))

        async with self.database.org(caller.org_id) as connection:
            response = await once(
                connection, self._disguised(request), pb.UpdateConnectionResponse, work
            )
        self._tell(response.connection.crm)
        return response

    @override
    async def DeleteConnection(
        self, request: pb.DeleteConnectionRequest, context: Context
    ) -> pb.DeleteConnectionResponse:
        """Delete a connection; see the contract."""
        caller, connection_id = current_caller(), UUID(request.connection_id)
        async with self.database.org(caller.org_id) as connection:
            crm = await connections.delete(connection, caller.org_id, connection_id)
            await account.forget(connection, caller.org_id, crm)
        self._tell(crm)
        return pb.DeleteConnectionResponse()

    @override
    async def TestCredentials(
        self, request: pb.TestCredentialsRequest, context: Context
    ) -> pb.TestCredentialsResponse:
        """Ask a CRM whether credentials are good; see the contract."""
        if request.WhichOneof("subject") == "given":
            return await self._test_given(request.given)
        _, verdict = await self._tested(request.crm)
        return verdict.response(request.crm)

    @override
    async def ValidateConnection(
        self, request: pb.ValidateConnectionRequest, context: Context
    ) -> pb.ValidateConnectionResponse:
        """Look at an account as a whole; see the contract."""
        stored, verdict = await self._tested(request.crm)
        examiner = Examiner(self._inquiries)
        standing = await examiner.standing(request.crm, stored, verdict)
        return pb.ValidateConnectionResponse(standing=standing)

    @override
    async def RefreshToken(
        self, request: pb.RefreshTokenRequest, context: Context
    ) -> pb.RefreshTokenResponse:
        """Renew an access token; see the contract."""
        return await self._directory.refresh_token(request)

    @override
    async def GetPermissions(
        self, request: pb.GetPermissionsRequest, context: Context
    ) -> pb.GetPermissionsResponse:
        """Tell what credentials allow; see the contract."""
        return await self._directory.permissions(request)

    @override
    async def GetOrganization(
        self, request: pb.GetOrganizationRequest, context: Context
    ) -> pb.GetOrganizationResponse:
        """Tell whose account it is; see the contract."""
        return await self._directory.organization(request)

    @override
    async def ListModules(
        self, request: pb.ListModulesRequest, context: Context
    ) -> pb.ListModulesResponse:
        """List the kinds of records that a CRM keeps; see the contract."""
        return await self._directory.modules(request)

    @override
    async def ListFields(
        self, request: pb.ListFieldsRequest, context: Context
    ) -> pb.ListFieldsResponse:
        """List the fields of a CRM's contacts; see the contract."""
        return await self._directory.fields(request)

    @override
    async def CreateFields(
        self, request: pb.CreateFieldsRequest, context: Context
    ) -> pb.CreateFieldsResponse:
        """Make fields at a CRM; see the contract."""
        return await self._directory.create_fields(request)

    @override
    async def ValidateFields(
        self, request: pb.ValidateFieldsRequest, context: Context
    ) -> pb.ValidateFieldsResponse:
        """Compare the fields of a CRM with those expected; see the contract."""
        return await self._directory.validate_fields(request)

    async def _test_given(self, given: pb.GivenCredentials) -> pb.TestCredentialsResponse:
        self.crms.find(given.crm)
        url = fields.url_of(given.base_url, fields.GIVEN, self.networks)
        secrets = dict(given.credentials.secrets)
        account = Account(current_caller().org_id, given.crm, url, secrets, dict(given.options))
        try:
            adapter = self.accounts.build(account)
        except ValueError as why:
            raise fields.misfit(why, fields.GIVEN, secrets) from None
        return (await ask(adapter)).response(given.crm)

    async def _tested(self, crm: str) -> tuple[Stored | None, Verdict]:
        """Test stored credentials and keep what was found; None where no adapter can be built."""
        self.crms.find(crm)
        try:
            stored = await self.accounts.stored(current_caller().org_id, crm, fresh=True)
        except (vaults.VaultError, KeyFileError):
            raise  # the operator's to mend, and nothing that the caller could
        except ValueError as why:
            return None, unfit(why)
        if stored is None:
            raise CrmDisabledError(crm)
        verdict = await ask(stored.adapter)
        await self._keep(crm, stored, verdict)
        return stored, verdict

    async def _keep(self, crm: str, stored: Stored, verdict: Verdict) -> None:
        """Keep what a test of stored credentials found; good ones set their lane going."""
        org_id = current_caller().org_id
        found = Found(
            verdict.health, verdict.message, verdict.account_id, stored.credentials_version
        )
        async with self.database.org(org_id) as connection:
            if stored.credentials_version is not None and not await connections.record_health(
                connection, org_id, crm, found
            ):
                return
            if verdict.health is ConnectionHealth.HEALTHY:
                await lane.resume(connection, org_id, crm, codes=_CURABLE)
        if verdict.health is ConnectionHealth.HEALTHY:
            self.on_queued(org_id, crm)

    @property
    def _inquiries(self) -> Inquiries:
        return Inquiries(self.accounts, self.crms, self.clock)

    @property
    def _directory(self) -> AccountDirectory:
        return AccountDirectory(self.database, self._inquiries, self.on_changed)

    def _fit(self, crm: str, draft: Draft, secrets: Mapping[str, str]) -> Capabilities:
        """Refuse what no adapter can be built for, and return what any other can do."""
        org_id = current_caller().org_id
        account = Account(org_id, crm, draft.base_url, secrets, draft.options)
        try:
            return self.accounts.build(account).capabilities
        except ValueError as why:
            raise fields.misfit(why, fields.STORED, secrets) from None

    def _disguised(self, request: Request) -> Request:
        """Return a request that tells its secrets from others, and nobody what they are.

        Of a request with an id a hash is kept; from that of a password one could guess it.
        """
        if not request.request_id:
            return request
        disguised = deepcopy(request)
        for name, secret in request.credentials.secrets.items():
            disguised.credentials.secrets[name] = self.vault.fingerprint(secret)
        return disguised

    def _tell(self, crm: str) -> None:
        org_id = current_caller().org_id
        self.on_changed(org_id, crm)
        self.on_queued(org_id, crm)


def _require_crm(crm: str) -> None:
    if not crm:
        raise InvalidRequestError([Violation("connection.crm", "required", "must be set")])


def _require_id(connection_id: str) -> None:
    if not connection_id:
        raise InvalidRequestError([Violation("connection.id", "required", "must be set")])
