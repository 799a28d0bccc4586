"""The WhatsApp account of an organization: connecting it, reading it from Meta, what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import conversation_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_server.crm.adapter import Account
from crmsync_server.crm.addresses import Networks
from crmsync_server.crm.messaging import AccountFound, Messaging, messaging_of
from crmsync_server.errors import (
    AccountNotFoundError,
    AccountNotSyncedError,
    CrmDisabledError,
    CrmsyncError,
    InvalidRequestError,
    NotSupportedError,
    RefusedCredentialsError,
    Violation,
)
from crmsync_server.rpc import connection_fields as fields
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.conversation_messages import account as message_of
from crmsync_server.rpc.credentials import Accounts
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.store import connection as connections
from crmsync_server.store import vault as vaults
from crmsync_server.store import whatsapp
from crmsync_server.store.connection import Draft
from crmsync_server.store.db import Database
from crmsync_server.store.whatsapp import Number

CRM = "whatsapp"
WEBHOOK_PATH = "/webhooks/whatsapp"

_SECRETS = ("access_token", "app_secret", "verify_token")
_PATHS = fields.Paths("base_url", "waba_id", "access_token")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WhatsAppAccounts:
    """The accounts of whoever calls.

    on_changed: told of (org_id, crm) after a commit that changed a connection.
    """

    database: Database
    vault: vaults.Vault
    accounts: Accounts
    inquiries: Inquiries
    networks: Networks
    on_changed: Callable[[str, str], None]

    async def connect(self, request: pb.ConnectAccountRequest) -> conversation_pb2.WhatsAppAccount:
        """Keep credentials, and read the account; what cannot be read now is missing.

        Raises:
            InvalidRequestError: something is needed and missing, or no adapter takes it.
            UrlNotAllowedError: the address is one that may not be called.
        """
        org_id = current_caller().org_id
        url = fields.url_of(request.base_url, _PATHS, self.networks)
        async with self.database.org(org_id) as connection:
            await self._keep(connection, request, url)
            await whatsapp.connect(
                connection, org_id, waba_id=request.waba_id, business_id=request.business_id
            )
        self.on_changed(org_id, CRM)
        try:
            await self.refresh()
        except CrmsyncError as why:
            _log.info("a WhatsApp account was connected and not read", org_id=org_id, why=str(why))
        return await self.get()

    async def get(self) -> conversation_pb2.WhatsAppAccount:
        """Return the account; raises AccountNotFoundError."""
        has_token = await self._has_token()
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await whatsapp.get(connection, org_id)
            if row is None:
                raise AccountNotFoundError(org_id)
            numbers = await whatsapp.numbers(connection, org_id)
        return message_of(row, numbers, _missing(row, numbers, has_token=has_token))

    async def synced(self) -> conversation_pb2.WhatsAppAccount:
        """Return the account where nothing is missing.

        Raises:
            AccountNotFoundError: there is none.
            AccountNotSyncedError: something is missing.
        """
        found = await self.get()
        if found.missing:
            raise AccountNotSyncedError(list(found.missing))
        return found

    async def refresh(self) -> None:
        """Read the account from Meta; that Meta refuses the token is kept.

        Raises CrmsyncError where there is no answer.
        """
        org_id, messaging = current_caller().org_id, await self._messaging()
        answer: AccountFound | None
        try:
            answer = await self.inquiries.answered((CRM, "GetAccount"), messaging.account())
        except RefusedCredentialsError:
            answer = None
        async with self.database.org(org_id) as connection:
            await whatsapp.lock(connection, org_id)
            if answer is None:
                await whatsapp.refused(connection, org_id)
            else:
                told = (answer.name, answer.waba_id, answer.business_id)
                await whatsapp.found(connection, org_id, told, _numbers(answer))

    async def _messaging(self) -> Messaging:
        messaging = messaging_of((await self.inquiries.stored(CRM)).adapter)
        if messaging is None:
            raise NotSupportedError(CRM, "GetAccount")
        return messaging

    async def _has_token(self) -> bool:
        try:
            return await self.accounts.stored(current_caller().org_id, CRM) is not None
        except CrmDisabledError:
            return False
        except ValueError:  # it is there, and what is wrong with it is said where it is used
            return True

    async def _keep(
        self, connection: AsyncConnection, request: pb.ConnectAccountRequest, url: str
    ) -> None:
        """Keep credentials with the connection, those that are given over those that there are."""
        org_id = current_caller().org_id
        row = await connections.find(connection, org_id, CRM)
        before: Mapping[str, str] = {}
        if row is not None:
            row = await connections.lock(connection, org_id, row.id)
            sealed = await connections.secrets(connection, org_id, row.id)
            owner = vaults.Account(org_id, row.id)
            before = self.vault.open_all(owner, row.key_id, sealed)
        given = {name: value for name in _SECRETS if (value := getattr(request, name))}
        secrets = {**before, **given}
        _require(secrets, request, row)
        options = dict(row.options) if row is not None else {}
        if request.waba_id:
            options["waba_id"] = request.waba_id
        base_url = url or (row.base_url if row is not None else "")
        self._fit(Account(org_id, CRM, base_url, secrets, options))
        draft = Draft(row.display_name if row else "WhatsApp", base_url, options, secrets)
        if row is None:
            await connections.create(connection, org_id, CRM, draft, self.vault)
        else:
            unchanged = draft if given else Draft(draft.display_name, base_url, options)
            await connections.update(
                connection, org_id, (row.id, 0, lambda _: unchanged), self.vault
            )

    def _fit(self, account: Account) -> None:
        try:
            self.accounts.build(account)
        except ValueError as why:
            raise fields.misfit(why, _PATHS, account.secrets) from None


def _require(
    secrets: Mapping[str, str], request: pb.ConnectAccountRequest, row: sa.Row[Any] | None
) -> None:
    lacking = [name for name in _SECRETS if not secrets.get(name)]
    if not request.waba_id and not (row and row.options.get("waba_id")):
        lacking.append("waba_id")
    if lacking:
        told = "must be set when an account is connected"
        raise InvalidRequestError([Violation(name, "required", told) for name in lacking])


def _missing(row: sa.Row[Any], numbers: Sequence[sa.Row[Any]], *, has_token: bool) -> Sequence[str]:
    there = {
        "waba_id": bool(row.waba_id),
        "business_id": bool(row.business_id),
        "phone_numbers": any(one.is_active for one in numbers),
        "access_token": has_token and not row.refused,
    }
    return [name for name, is_there in there.items() if not is_there]


def _numbers(found: AccountFound) -> Sequence[Number]:
    return [
        Number(
            one.id,
            one.display_number,
            one.verified_name,
            one.quality.lower(),
            one.is_active,
            one.verified,
        )
        for one in found.numbers
    ]
