"""Finds out whether Zoho can be delivered to, without writing."""

from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import Fault, gave_no_answer
from crmsync_server.crm.outcomes import Postponed
from crmsync_server.crm.replies import Reply, brief, mappings, text
from crmsync_server.crm.zoho_access import TOKEN_LIMIT
from crmsync_server.crm.zoho_calls import CONTACTS, V8, Call, Zoho
from crmsync_server.crm.zoho_errors import code_of, is_refusal, lacks_right, refused, words

ORG = f"{V8}/org"
PROBE = Call("GET", CONTACTS, params={"fields": "id", "per_page": "1"})
_READ = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


async def standing(zoho: Zoho) -> Standing:
    """Ask for one contact, which needs permission, and then for the organization's name.

    Raises AddressRefusedError.
    """
    try:
        contacts = await zoho.call(PROBE)
        if not _shows_contacts(contacts):
            return _without(contacts)
        return _good(await zoho.call(Call("GET", ORG)))
    except AddressRefusedError:
        raise
    except CredentialsRefusedError as error:
        return Standing(valid=False, message=str(error))


def _shows_contacts(found: Reply | Fault) -> bool:
    if not isinstance(found, Reply) or found.status not in _READ:
        return False
    return found.status == HTTPStatus.NO_CONTENT or "data" in found.fields


def _good(org: Reply | Fault) -> Standing:
    """Return a good standing; the scope to read the organization is not needed for it."""
    about = mappings(org.fields.get("org")) if isinstance(org, Reply) else []
    if not about:
        return Standing(valid=True, message="Zoho CRM; it does not tell whose it is")
    name = brief(text(about[0].get("company_name")))
    return Standing(valid=True, message=f"Zoho CRM of {name}", account_id=text(about[0].get("id")))


def _without(found: Reply | Fault) -> Standing:
    if not isinstance(found, Reply):
        limited = isinstance(found, Postponed) and found.code == TOKEN_LIMIT
        code = TOKEN_LIMIT if limited else ""
        return Standing(valid=False, message=found.message, reachable=False, code=code)
    if is_refusal(found):
        code = code_of(found) if lacks_right(found) else ""
        return Standing(valid=False, message=str(refused(found)), code=code)
    message = brief(f"Zoho answered {found.status}: {words(found)}")
    # A page with status 200 is a proxy's: Zoho itself was not reached.
    silent = gave_no_answer(found) or found.status == HTTPStatus.OK
    return Standing(valid=False, message=message, reachable=not silent, code=code_of(found))
