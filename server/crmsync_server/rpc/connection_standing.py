"""How an account stands as a whole: what a check of it found, aspect by aspect."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from crmsync.v1 import crm_account_pb2 as pb
from crmsync_server.errors import CrmsyncError, NotSupportedError, RefusedCredentialsError
from crmsync_server.rpc import directory_messages as messages
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.credentials import REFUSED, Stored, Verdict
from crmsync_server.rpc.inquiries import NOT_SUPPORTED, Inquiries
from crmsync_server.store.health import ConnectionHealth

_PASSED, _FAILED = pb.CONNECTION_RESULT_PASSED, pb.CONNECTION_RESULT_FAILED
_WARNING, _UNKNOWN = pb.CONNECTION_RESULT_WARNING, pb.CONNECTION_RESULT_UNKNOWN
_LONGEST = 500  # characters of a message

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    result: pb.ConnectionResult.ValueType
    message: str
    code: str = ""

    def of(self, aspect: pb.ConnectionAspect.ValueType) -> pb.ConnectionFinding:
        return pb.ConnectionFinding(
            aspect=aspect, result=self.result, code=self.code, message=self.message[:_LONGEST]
        )


def _not_checked(why: str) -> _Found:
    return _Found(_UNKNOWN, f"not looked at, {why}", "NOT_CHECKED")


@dataclass(frozen=True, slots=True)
class Examiner:
    """Puts together what is known of an account whose credentials were just tested."""

    inquiries: Inquiries

    async def standing(
        self, crm: str, stored: Stored | None, verdict: Verdict
    ) -> pb.ConnectionStanding:
        """Return how an account stands.

        Args:
            crm: the CRM's id.
            stored: the account; None where no adapter could be built for it.
            verdict: what the test of its credentials found.
        """
        reached, credentials = _of_credentials(stored, verdict)
        token_found, token = await self._token(stored, verdict)
        allowed, permissions = await self._permissions(crm, stored, verdict)
        findings = [
            reached.of(pb.CONNECTION_ASPECT_REACHABILITY),
            credentials.of(pb.CONNECTION_ASPECT_CREDENTIALS),
            token_found.of(pb.CONNECTION_ASPECT_TOKEN),
            allowed.of(pb.CONNECTION_ASPECT_PERMISSIONS),
        ]
        good = verdict.health is ConnectionHealth.HEALTHY
        return pb.ConnectionStanding(
            crm=crm,
            verdict=_verdict(findings),
            findings=findings,
            token=token,
            permissions=permissions,
            account_id=verdict.account_id if good else "",
            check_time=timestamp(self.inquiries.clock()),
        )

    async def _token(
        self, stored: Stored | None, verdict: Verdict
    ) -> tuple[_Found, pb.TokenStanding]:
        until = None if stored is None else await stored.token_expiry()
        if until is None and verdict.health is ConnectionHealth.HEALTHY:
            found = _Found(_PASSED, "these credentials need no access token")
            return found, pb.TokenStanding(status=pb.TOKEN_STATUS_NOT_USED)
        if until is None:
            found = _not_checked("for none was had")
            return found, pb.TokenStanding(status=pb.TOKEN_STATUS_UNKNOWN)
        told, moment = timestamp(until), until.isoformat(timespec="seconds")
        if until > self.inquiries.clock():
            standing = pb.TokenStanding(status=pb.TOKEN_STATUS_VALID, expire_time=told)
            return _Found(_PASSED, f"the access token holds until {moment}"), standing
        late = f"the access token held until {moment}; the next call renews it"
        standing = pb.TokenStanding(status=pb.TOKEN_STATUS_EXPIRED, expire_time=told)
        return _Found(_WARNING, late, "TOKEN_EXPIRED"), standing

    async def _permissions(
        self, crm: str, stored: Stored | None, verdict: Verdict
    ) -> tuple[_Found, Sequence[pb.CrmPermission]]:
        if stored is None or verdict.health is not ConnectionHealth.HEALTHY:
            return _not_checked("for the credentials do not open the account"), ()
        place = (crm, "GetPermissions")
        try:
            found = await self.inquiries.ask_of(stored, place, lambda one: one.permissions())
        except NotSupportedError:
            return _Found(_UNKNOWN, f"{crm} tells no permissions", NOT_SUPPORTED), ()
        except RefusedCredentialsError as refused:
            return _Found(_FAILED, refused.message, REFUSED), ()
        except CrmsyncError as error:
            return _Found(_UNKNOWN, error.message, error.metadata.get("crm_code", "")), ()
        except Exception:  # noqa: BLE001 - an adapter may be anybody's code
            _log.exception("permissions could not be read")
            failed = "reading the permissions failed; the server's log says how"
            return _Found(_UNKNOWN, failed, "INTERNAL"), ()
        told = messages.permissions(found)
        return _of_permissions(told), told


def _of_credentials(stored: Stored | None, verdict: Verdict) -> tuple[_Found, _Found]:
    """Return what is found of the reachability, and of the credentials."""
    if stored is None:
        misfit = _Found(_FAILED, verdict.message, verdict.code)
        return _not_checked("for no call can be made"), misfit
    if verdict.health is ConnectionHealth.UNREACHABLE:
        lost = _Found(_FAILED, verdict.message, verdict.code)
        return lost, _not_checked("for the CRM gave no answer")
    reached = _Found(_PASSED, "the CRM answers")
    if verdict.health is ConnectionHealth.HEALTHY:
        return reached, _Found(_PASSED, verdict.message)
    return reached, _Found(_FAILED, verdict.message, verdict.code)


def _of_permissions(told: Sequence[pb.CrmPermission]) -> _Found:
    denied = [one for one in told if one.grant == pb.CRM_PERMISSION_GRANT_DENIED]
    if needed := [one.name for one in denied if one.needed]:
        return _Found(_FAILED, f"the credentials lack {', '.join(needed)}", "PERMISSION_DENIED")
    if denied:
        lacking = ", ".join(one.name for one in denied)
        told_so = f"the credentials lack {lacking}, which syncing does not need"
        return _Found(_WARNING, told_so, "PERMISSION_MISSING")
    unknown = [
        one.name for one in told if one.needed and one.grant == pb.CRM_PERMISSION_GRANT_UNKNOWN
    ]
    if unknown:
        return _Found(_UNKNOWN, f"the CRM does not tell of {', '.join(unknown)}", "NOT_TOLD")
    return _Found(_PASSED, "the credentials allow what syncing needs")


def _verdict(findings: Sequence[pb.ConnectionFinding]) -> pb.ConnectionVerdict.ValueType:
    results = [one.result for one in findings]
    if results[0] == _FAILED:
        return pb.CONNECTION_VERDICT_UNREACHABLE
    if _FAILED in results:
        return pb.CONNECTION_VERDICT_UNUSABLE
    if _WARNING in results:
        return pb.CONNECTION_VERDICT_DEGRADED
    return pb.CONNECTION_VERDICT_READY
