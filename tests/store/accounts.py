"""Connections for tests, and vaults to keep their credentials in."""

import base64
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from crmsync_server.store import connection
from crmsync_server.store.connection import Draft
from crmsync_server.store.db import Database
from crmsync_server.store.keys import GivenKeys
from crmsync_server.store.vault import Account, Vault
from tests.store.people import ORG

HOUR = timedelta(hours=1)
PAUSE = sa.text("SELECT pause_code FROM lanes WHERE org_id = :org_id AND crm = :crm")
SECRETS = {"client_id": "1_app", "refresh_token": "canary-refresh"}
DRAFT = Draft("Ours", "https://mautic.example.com", {"batch_size": "10"}, SECRETS)


def vault(*key_ids: str) -> Vault:
    """Return a vault with these keys, the first of them current."""
    told = (f"{key_id}:{_key(key_id)}" for key_id in key_ids or ("one",))
    return Vault(GivenKeys(",".join(told)))


def _key(key_id: str) -> str:
    return base64.b64encode(key_id.encode().ljust(32, b".")).decode()


async def create(
    database: Database,
    crm: str = "mautic",
    *,
    org_id: str = ORG,
    draft: Draft = DRAFT,
    kept: Vault | None = None,
) -> sa.Row[Any]:
    """Add a connection."""
    async with database.org(org_id) as transaction:
        return await connection.create(transaction, org_id, crm, draft, kept or vault())


async def opened(database: Database, row: sa.Row[Any], kept: Vault | None = None) -> dict[str, str]:
    """Return the secrets of a connection as its adapter would have them."""
    async with database.org(row.org_id) as transaction:
        now = await connection.get(transaction, row.org_id, row.id)
        sealed = await connection.secrets(transaction, row.org_id, row.id)
    return (kept or vault()).open_all(Account(row.org_id, row.id), now.key_id, sealed)
