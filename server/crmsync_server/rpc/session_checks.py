"""What would keep a synchronization from going well, found out without writing anything."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.crm_field_pb2 import CRM_FIELD_CHECK_EXISTS
from crmsync_server.crm.adapter import Standing
from crmsync_server.crm.directory import CrmField, Permission
from crmsync_server.crm.replies import brief
from crmsync_server.crm.source import source_of
from crmsync_server.errors import CrmsyncError
from crmsync_server.rpc import field_findings
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.credentials import Stored
from crmsync_server.rpc.inquiries import PATIENCE, Inquiries
from crmsync_server.store import config, session
from crmsync_server.store.db import Database
from crmsync_server.store.states import Direction, SessionKind

_PASSED = pb.SESSION_CHECK_RESULT_PASSED
_WARNING = pb.SESSION_CHECK_RESULT_WARNING
_FAILED = pb.SESSION_CHECK_RESULT_FAILED
_SKIPPED = pb.SESSION_CHECK_RESULT_SKIPPED
_NAMES = ("configuration", "credentials", "permissions", "fields", "mapping", "quota")


class Bucket(Protocol):
    """What is left of an allowance; see sync.forecast."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def calls(self) -> int:
        """How many calls it allows in a period."""

    @property
    def left(self) -> int:
        """How many of them are left."""

    @property
    def opens(self) -> float:
        """In how many seconds the CRM takes the next call."""


Allowances = Callable[[str, str], Awaitable[Sequence[Bucket]]]
"""Tells what is left of each allowance of (org_id, crm)."""
Switch = Callable[[str, str], Awaitable[bool]]
"""Tells whether (org_id, crm) is switched on."""


@dataclass(slots=True)
class _Found:
    """The checks that were made so far."""

    checks: list[pb.SessionCheck] = field(default_factory=list)

    def add(
        self,
        name: str,
        result: pb.SessionCheckResult.ValueType,
        finding: str,
        subject: str = "",
    ) -> None:
        told = brief(finding)
        self.checks.append(pb.SessionCheck(name=name, result=result, finding=told, subject=subject))

    def skip_rest(self, why: str) -> Sequence[pb.SessionCheck]:
        made = {check.name for check in self.checks}
        for name in _NAMES:
            if name not in made:
                self.add(name, _SKIPPED, why)
        return self.checks


@dataclass(frozen=True, slots=True)
class Checks:
    """Makes every check of ValidateSession for whoever calls."""

    database: Database
    inquiries: Inquiries
    switched_on: Switch
    allowances: Allowances

    async def made(self, crm: str, direction: Direction) -> Sequence[pb.SessionCheck]:
        """Return every check; raises UnknownCrmError."""
        found = _Found()
        stored = await self._configuration(found, crm, direction)
        if stored is None:
            return found.skip_rest("there is nothing to ask without a usable connection")
        if not await self._credentials(found, crm, stored):
            return found.skip_rest("the CRM does not answer these credentials")
        await self._permissions(found, crm, stored)
        await self._fields(found, crm, stored)
        await self._quota(found, crm)
        await self._active(found, crm)
        return found.checks

    async def _configuration(self, found: _Found, crm: str, direction: Direction) -> Stored | None:
        try:
            stored = await self.inquiries.stored(crm)
        except CrmsyncError as error:
            self.inquiries.crms.find(crm)
            found.add("configuration", _FAILED, error.message)
            return None
        if not await self.switched_on(current_caller().org_id, crm):
            found.add("configuration", _FAILED, f"{crm} is switched off: UpdateCrmConfig")
        elif direction is not Direction.PUSH and source_of(stored.adapter) is None:
            found.add("configuration", _FAILED, f"{crm} cannot be read", "direction")
        else:
            found.add("configuration", _PASSED, f"{crm} is connected and switched on")
        return stored

    async def _credentials(self, found: _Found, crm: str, stored: Stored) -> bool:
        standing = await _standing(stored)
        if standing.valid:
            found.add("credentials", _PASSED, standing.message, standing.account_id)
        else:
            why = "" if standing.reachable else f"{crm} cannot be reached: "
            found.add("credentials", _FAILED, why + standing.message)
        return standing.valid

    async def _permissions(self, found: _Found, crm: str, stored: Stored) -> None:
        try:
            told = await self.inquiries.ask_of(
                stored, (crm, "GetPermissions"), lambda directory: directory.permissions()
            )
        except CrmsyncError as error:
            found.add("permissions", _SKIPPED, error.message)
            return
        lacking = [one for one in told if one.needed and one.granted is False]
        for one in lacking:
            found.add("permissions", _FAILED, _refused(one), one.name)
        if not lacking:
            found.add("permissions", _PASSED, _granted(told))

    async def _fields(self, found: _Found, crm: str, stored: Stored) -> None:
        try:
            fields = await self.inquiries.ask_of(
                stored, (crm, "ListFields"), lambda directory: directory.fields()
            )
        except CrmsyncError as error:
            found.add("fields", _SKIPPED, error.message)
            found.add("mapping", _SKIPPED, error.message)
            return
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            [row] = await config.list(connection, org_id, [crm])
        wanted = field_findings.written(config.Config.of(row))
        wrong = [
            one
            for one in field_findings.findings(wanted, field_findings.Fields(fields))
            if one.check != CRM_FIELD_CHECK_EXISTS
        ]
        for one in wrong:
            found.add("fields", _FAILED, f"{one.message} ({one.origin})", one.name)
        if not wrong:
            found.add("fields", _PASSED, f"all {len(wanted)} configured fields can be written")
        _mapping(found, fields, {one.name for one in wanted})

    async def _quota(self, found: _Found, crm: str) -> None:
        buckets = await self.allowances(current_caller().org_id, crm)
        for one in buckets:
            told = f"{one.left} of {one.calls} calls are left"
            if one.opens > 0:
                told += f"; the CRM takes none for another {one.opens:.0f} s"
            result = _PASSED if one.left > 0 and one.opens <= 0 else _WARNING
            found.add("quota", result, told, one.name)
        if not buckets:
            found.add("quota", _PASSED, "no limits are known")

    async def _active(self, found: _Found, crm: str) -> None:
        org_id, active = current_caller().org_id, {}
        kinds = (SessionKind.FULL_SYNC, SessionKind.INCREMENTAL_SYNC, SessionKind.MANUAL_SYNC)
        async with self.database.org(org_id) as connection:
            for kind in kinds:
                active[kind] = await session.active(connection, org_id, crm, kind)
        for kind, session_id in active.items():
            if session_id is not None:
                told = f"a {kind} is active; another needs allow_parallel"
                found.add("active_session", _WARNING, told, str(session_id))
        if not any(active.values()):
            found.add("active_session", _PASSED, "no other session is active")


async def _standing(stored: Stored) -> Standing:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await stored.adapter.check()
    except TimeoutError:
        return Standing(valid=False, message="no answer in time", reachable=False)


def _refused(one: Permission) -> str:
    return f"{one.name} is not allowed" + (f": {one.detail}" if one.detail else "")


def _granted(told: Sequence[Permission]) -> str:
    unknown = sum(one.needed and one.granted is None for one in told)
    return "everything needed is allowed" + (
        f"; the CRM does not tell of {unknown}" if unknown else ""
    )


def _mapping(found: _Found, fields: Sequence[CrmField], written: set[str]) -> None:
    """Look for fields that the CRM requires and that nothing writes."""
    unwritten = [
        one
        for one in fields
        if one.required and not one.read_only and not one.maps_to and one.name not in written
    ]
    for one in unwritten:
        told = f"the CRM requires {one.label or one.name}, and no rule writes it"
        found.add("mapping", _WARNING, told, one.name)
    if not unwritten:
        found.add("mapping", _PASSED, "everything that the CRM requires is written")
