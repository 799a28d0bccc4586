"""Credentials of the settings that are no use without each other."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crmsync_server.settings import Settings


def require_whole(told: "Settings") -> None:
    """Raise ValueError, which names the variables, for the first CRM that lacks a part."""
    _mautic(told)
    _zoho(told)
    _trading(told)
    _whatsapp(told)


def _mautic(told: "Settings") -> None:
    """Refuse credentials of which a half is missing, or of both kinds."""
    user = (told.mautic_username, told.mautic_password)
    application = (told.mautic_client_id, told.mautic_client_secret)
    given = [kind for kind in (user, application) if any(kind)]
    if told.mautic_base_url is not None and not (len(given) == 1 and all(given[0])):
        message = (
            "CRMSYNC_MAUTIC_BASE_URL needs either CRMSYNC_MAUTIC_USERNAME and _PASSWORD, or "
            "CRMSYNC_MAUTIC_CLIENT_ID and _CLIENT_SECRET"
        )
        raise ValueError(message)


def _zoho(told: "Settings") -> None:
    """Refuse credentials of which a part is missing."""
    given = (told.zoho_client_id, told.zoho_client_secret, told.zoho_refresh_token)
    if any(given) and not all(given):
        message = (
            "CRMSYNC_ZOHO_CLIENT_ID, CRMSYNC_ZOHO_CLIENT_SECRET and CRMSYNC_ZOHO_REFRESH_TOKEN "
            "are needed together"
        )
        raise ValueError(message)


def _trading(told: "Settings") -> None:
    """Refuse credentials of which a half is missing, or of both kinds."""
    user = (told.trading_username, told.trading_password)
    given = [kind for kind in (user, (told.trading_token,)) if any(kind)]
    if told.trading_base_url is not None and not (len(given) == 1 and all(given[0])):
        message = (
            "CRMSYNC_TRADING_BASE_URL needs either CRMSYNC_TRADING_USERNAME and _PASSWORD, or "
            "CRMSYNC_TRADING_TOKEN"
        )
        raise ValueError(message)


def _whatsapp(told: "Settings") -> None:
    """Refuse a token of which nobody knows the account."""
    if told.whatsapp_access_token is not None and told.whatsapp_waba_id is None:
        message = "CRMSYNC_WHATSAPP_ACCESS_TOKEN needs CRMSYNC_WHATSAPP_WABA_ID"
        raise ValueError(message)
