"""Finds out whether a portal can be delivered to, without writing."""

from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import Fault, gave_no_answer
from crmsync_server.crm.hubspot_access import OAuth, is_refusal, refused
from crmsync_server.crm.hubspot_day import BUCKETS, DETAILS
from crmsync_server.crm.hubspot_errors import credentials_error
from crmsync_server.crm.hubspot_limits import WAITING
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.replies import Reply, text


async def standing(portal: Portal, oauth: OAuth | None) -> Standing:
    """Read the portal's details and one contact; the first alone proves no scope.

    Raises AddressRefusedError.
    """
    if oauth is not None and not oauth.lasting:
        return await _introspected(portal, oauth)
    try:
        return await _read(portal)
    except AddressRefusedError:
        raise
    except CredentialsRefusedError as error:
        return Standing(valid=False, message=str(error))


async def _read(portal: Portal) -> Standing:
    caller = portal.caller
    details = await caller.call("GET", DETAILS, buckets=BUCKETS)
    if not isinstance(details, Reply) or details.status != HTTPStatus.OK:
        return _not_standing(details)
    portal.zone.learn(details)
    found = _of_portal(portal, text(details.fields.get("portalId")))
    if not found.valid:
        return found
    one = {"limit": "1"}
    contacts = await caller.call("GET", CONTACTS, buckets=BUCKETS, params=one)
    if not isinstance(contacts, Reply) or contacts.status != HTTPStatus.OK:
        return _not_standing(contacts)
    return found


async def _introspected(portal: Portal, oauth: OAuth) -> Standing:
    """Ask whether the refresh token holds: to use it could leave its owner without one."""
    told = await oauth.introspect()
    if not isinstance(told, Reply):
        return _not_standing(told)
    if is_refusal(told):
        return Standing(valid=False, message=str(refused(told)))
    if told.status != HTTPStatus.OK:
        return _not_standing(told)
    if told.fields.get("active") is not True:
        return Standing(valid=False, message="HubSpot does not know the refresh token any more")
    portal_id = text(told.fields.get("hub_id"))
    if portal_id:
        return _of_portal(portal, portal_id)
    return Standing(valid=True, message="HubSpot knows the application and its refresh token")


def _of_portal(portal: Portal, portal_id: str) -> Standing:
    expected = portal.caller.account.options.get("portal_id", portal_id)
    if not portal_id or portal_id != expected:
        return Standing(valid=False, message=f"the token belongs to portal {portal_id or '?'}")
    return Standing(valid=True, message=f"HubSpot portal {portal_id}", account_id=portal_id)


def _not_standing(found: Reply | Fault) -> Standing:
    if not isinstance(found, Reply):
        return Standing(valid=False, message=found.message, reachable=False)
    if found.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Standing(valid=False, message=str(credentials_error(found)))
    # One that migrates or is locked does not say anything about the token either.
    waits = gave_no_answer(found) or found.status in WAITING
    message = f"HubSpot answered {found.status}: {found.text}"
    return Standing(valid=False, message=message, reachable=not waits)
