"""What leads a server to simulated CRMs: as settings, and as lines for a shell."""

import json
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from crmsync_server.sandbox.server import Sandbox
    from crmsync_server.settings import Settings

_LOOPBACK = "127.0.0.0/8"


@asynccontextmanager
async def simulating(settings: "Settings") -> "AsyncIterator[Settings]":
    """Run the simulators, and yield the settings that lead to them."""
    from crmsync_server.sandbox.server import Sandbox

    async with Sandbox() as simulators:
        yield settings.model_copy(update=_leading_to(simulators, settings))


def ways_to(simulators: "Sandbox") -> str:
    """Say where each simulated CRM is, and then what leads a server there."""
    urls = simulators.urls
    places = "\n".join(f"{crm} is simulated at {url}" for crm, url in urls.items())
    return f"""\
{places}
A server delivers there with:
export CRMSYNC_ALLOWED_NETWORKS={_LOOPBACK}
export CRMSYNC_HUBSPOT_BASE_URL={urls["hubspot"]}
export CRMSYNC_HUBSPOT_TOKEN={simulators.hubspot.settings.token}
export CRMSYNC_BREVO_BASE_URL={urls["brevo"]}
export CRMSYNC_BREVO_API_KEY={simulators.brevo.settings.api_key}
export CRMSYNC_BREVO_LIST_ID=1
export CRMSYNC_MAUTIC_BASE_URL={urls["mautic"]}
export CRMSYNC_MAUTIC_USERNAME={simulators.mautic.settings.username}
export CRMSYNC_MAUTIC_PASSWORD={simulators.mautic.settings.password}
export CRMSYNC_N8N_WEBHOOK_URL={urls["n8n"]}
export CRMSYNC_N8N_SECRETS='{json.dumps(_n8n_secrets(simulators))}'
export CRMSYNC_N8N_OPTIONS='{{"auth": "header"}}'
export CRMSYNC_ZOHO_BASE_URL={urls["zoho"]}
export CRMSYNC_ZOHO_CLIENT_ID={simulators.zoho.settings.client_id}
export CRMSYNC_ZOHO_CLIENT_SECRET={simulators.zoho.settings.client_secret}
export CRMSYNC_ZOHO_REFRESH_TOKEN={simulators.zoho.settings.refresh_token}
export CRMSYNC_TRADING_BASE_URL={urls["trading"]}
export CRMSYNC_TRADING_USERNAME={simulators.trading.settings.username}
export CRMSYNC_TRADING_PASSWORD={simulators.trading.settings.password}
export CRMSYNC_WHATSAPP_BASE_URL={urls["whatsapp"]}
export CRMSYNC_WHATSAPP_ACCESS_TOKEN={simulators.whatsapp.settings.access_token}
export CRMSYNC_WHATSAPP_APP_SECRET={simulators.whatsapp.settings.app_secret}
export CRMSYNC_WHATSAPP_WABA_ID={simulators.whatsapp.settings.waba_id}"""


def _leading_to(simulators: "Sandbox", settings: "Settings") -> dict[str, object]:
    from pydantic import SecretStr

    return {
        "allowed_networks": (*settings.allowed_networks, ip_network(_LOOPBACK)),
        "hubspot_token": SecretStr(simulators.hubspot.settings.token),
        "hubspot_base_url": simulators.urls["hubspot"],
        "brevo_api_key": SecretStr(simulators.brevo.settings.api_key),
        "brevo_base_url": simulators.urls["brevo"],
        "brevo_list_id": settings.brevo_list_id or 1,
        "mautic_base_url": simulators.urls["mautic"],
        "mautic_username": simulators.mautic.settings.username,
        "mautic_password": SecretStr(simulators.mautic.settings.password),
        "mautic_client_id": None,
        "mautic_client_secret": None,
        "n8n_webhook_url": simulators.urls["n8n"],
        "n8n_secrets": {
            name: SecretStr(secret) for name, secret in _n8n_secrets(simulators).items()
        },
        "n8n_options": {**settings.n8n_options, "auth": "header"},
        "zoho_base_url": simulators.urls["zoho"],
        "zoho_client_id": simulators.zoho.settings.client_id,
        "zoho_client_secret": SecretStr(simulators.zoho.settings.client_secret),
        "zoho_refresh_token": SecretStr(simulators.zoho.settings.refresh_token),
        "trading_base_url": simulators.urls["trading"],
        "trading_username": simulators.trading.settings.username,
        "trading_password": SecretStr(simulators.trading.settings.password),
        "trading_token": None,
        "whatsapp_base_url": simulators.urls["whatsapp"],
        "whatsapp_access_token": SecretStr(simulators.whatsapp.settings.access_token),
        "whatsapp_app_secret": SecretStr(simulators.whatsapp.settings.app_secret),
        "whatsapp_waba_id": simulators.whatsapp.settings.waba_id,
    }


def _n8n_secrets(simulators: "Sandbox") -> dict[str, str]:
    """Return what a connection to the simulated n8n is told, in its adapter's words."""
    held = simulators.n8n.settings.credentials
    return {
        "header_name": held.header_name,
        "header_value": held.header_value,
        "signing_secret": held.signing_secret,
    }
