"""Finds out whether Mautic can be delivered to, without writing."""

from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import Fault, gave_no_answer
from crmsync_server.crm.mautic_calls import CONTACTS, SELF, Mautic
from crmsync_server.crm.mautic_errors import (
    MISCONFIGURED,
    is_refusal,
    misconfigured,
    oauth_code,
    refused,
    words,
)
from crmsync_server.crm.mautic_limits import HOURLY
from crmsync_server.crm.outcomes import Postponed
from crmsync_server.crm.replies import Reply, brief, text

_UNPROVED = (
    "Mautic knows the application; its refresh token works but once, and is not used up by a test: "
    "only a delivery proves it"
)


async def standing(mautic: Mautic) -> Standing:
    """Ask for the user, which any credentials may, and for one contact, which needs permission.

    Raises AddressRefusedError.
    """
    introduced = await mautic.access.introduce()
    if introduced is not None:
        return await _unproved(mautic, introduced)
    try:
        user = await mautic.call("GET", SELF)
        if not _shows(user, "id"):
            return _without(user)
        contacts = await mautic.call("GET", CONTACTS, params={"limit": "1", "minimal": "1"})
    except AddressRefusedError:
        raise
    except CredentialsRefusedError as error:
        return Standing(valid=False, message=str(error))
    if not _shows(contacts, "contacts"):
        return _without(contacts)
    return _good(user) if isinstance(user, Reply) else _without(user)


async def _unproved(mautic: Mautic, told: Reply | Fault) -> Standing:
    """Find out what can be found out without using up a refresh token that works but once."""
    door = await mautic.caller.call("GET", SELF, buckets=(HOURLY,))
    if not isinstance(door, Reply) or door.status != HTTPStatus.UNAUTHORIZED:
        return _without(door)
    code = oauth_code(told) if isinstance(told, Reply) else ""
    if code == "invalid_grant":
        return Standing(valid=True, message=_UNPROVED)
    if isinstance(told, Reply) and code:
        return Standing(valid=False, message=f"Mautic refuses the application: {words(told)}")
    return _without(told)


def _shows(found: Reply | Fault, name: str) -> bool:
    return isinstance(found, Reply) and found.status == HTTPStatus.OK and name in found.fields


def _good(user: Reply) -> Standing:
    version = user.headers.get("mautic-version", "")
    name = text(user.fields.get("username")) or text(user.fields.get("email"))
    message = " ".join(part for part in ("Mautic", version, "as user", name) if part)
    return Standing(valid=True, message=message, account_id=text(user.fields.get("id")))


def _without(found: Reply | Fault) -> Standing:
    if not isinstance(found, Reply):
        # Asking for a token may already have told.
        answered = isinstance(found, Postponed) and found.code in MISCONFIGURED
        code = found.code if isinstance(found, Postponed) and answered else ""
        return Standing(valid=False, message=found.message, reachable=answered, code=code)
    if is_refusal(found):
        return Standing(valid=False, message=str(refused(found)))
    if what := misconfigured(found):
        return Standing(valid=False, message=what[1], code=what[0])
    message = brief(f"Mautic answered {found.status}: {words(found)}")
    # A page with status 200 is a proxy's: Mautic itself was not reached.
    silent = gave_no_answer(found) or found.status == HTTPStatus.OK
    return Standing(valid=False, message=message, reachable=not silent)
