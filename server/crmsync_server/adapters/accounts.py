"""The accounts at CRMs that the settings hold credentials for."""

from collections.abc import Mapping

from pydantic import SecretStr

from crmsync_server.crm.adapter import Account
from crmsync_server.settings import Settings

_NOBODY = ""  # the organization of an account that is the installation's


def accounts(settings: Settings) -> Mapping[str, Account]:
    """Return the account at every CRM that the settings hold credentials for, by CRM id."""
    found = (
        _hubspot(settings),
        _brevo(settings),
        _n8n(settings),
        _mautic(settings),
        _zoho(settings),
        _trading(settings),
        _whatsapp(settings),
    )
    return {account.crm: account for account in found if account is not None}


def public_urls(settings: Settings) -> Mapping[str, str]:
    """Return where the API of a CRM begins for connections that do not say, by CRM id."""
    return {
        "brevo": settings.brevo_base_url,
        "hubspot": settings.hubspot_base_url,
        "whatsapp": settings.whatsapp_base_url,
        "zoho": settings.zoho_base_url,
    }


def _hubspot(settings: Settings) -> Account | None:
    if settings.hubspot_token is None:
        return None
    secrets = {"token": settings.hubspot_token.get_secret_value()}
    return Account(_NOBODY, "hubspot", settings.hubspot_base_url, secrets, settings.hubspot_options)


def _brevo(settings: Settings) -> Account | None:
    if settings.brevo_api_key is None:
        return None
    secrets = {"api_key": settings.brevo_api_key.get_secret_value()}
    list_id = {"list_id": str(settings.brevo_list_id)} if settings.brevo_list_id else {}
    options = settings.brevo_options | list_id
    return Account(_NOBODY, "brevo", settings.brevo_base_url, secrets, options)


def _n8n(settings: Settings) -> Account | None:
    if settings.n8n_webhook_url is None:
        return None
    secrets = {name: secret.get_secret_value() for name, secret in settings.n8n_secrets.items()}
    return Account(_NOBODY, "n8n", settings.n8n_webhook_url, secrets, settings.n8n_options)


def _mautic(settings: Settings) -> Account | None:
    if settings.mautic_base_url is None:
        return None
    secrets = _given(
        username=settings.mautic_username,
        password=settings.mautic_password,
        client_id=settings.mautic_client_id,
        client_secret=settings.mautic_client_secret,
    )
    return Account(_NOBODY, "mautic", settings.mautic_base_url, secrets, settings.mautic_options)


def _zoho(settings: Settings) -> Account | None:
    if settings.zoho_client_id is None:
        return None
    shown = {"client_id": settings.zoho_client_id}
    secrets = shown | _given(
        client_secret=settings.zoho_client_secret,
        refresh_token=settings.zoho_refresh_token,
    )
    return Account(_NOBODY, "zoho", settings.zoho_base_url, secrets, settings.zoho_options)


def _trading(settings: Settings) -> Account | None:
    if settings.trading_base_url is None:
        return None
    secrets = _given(
        username=settings.trading_username,
        password=settings.trading_password,
        token=settings.trading_token,
    )
    return Account(_NOBODY, "trading", settings.trading_base_url, secrets, settings.trading_options)


def _whatsapp(settings: Settings) -> Account | None:
    if settings.whatsapp_access_token is None:
        return None
    secrets = _given(
        access_token=settings.whatsapp_access_token,
        app_secret=settings.whatsapp_app_secret,
        verify_token=settings.whatsapp_verify_token,
    )
    options = settings.whatsapp_options | {"waba_id": settings.whatsapp_waba_id or ""}
    return Account(_NOBODY, "whatsapp", settings.whatsapp_base_url, secrets, options)


def _given(**told: SecretStr | str | None) -> dict[str, str]:
    """Return the secrets that were told, and not as nothing."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in told.items()
        if value
    }
