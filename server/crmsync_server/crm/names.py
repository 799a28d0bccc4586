"""Which secrets and options each adapter takes: a misspelt one is refused, not ignored.

An adapter that is not named here, for it comes from another package, judges for itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from crmsync_server.crm.adapter import Account


@dataclass(frozen=True, slots=True)
class Takes:
    """The names of the secrets and of the options that an adapter knows."""

    secrets: frozenset[str]
    options: frozenset[str]


TAKES: Mapping[str, Takes] = {
    "brevo": Takes(
        frozenset({"api_key", "webhook_token"}),
        frozenset(
            {
                "contacts_calls",
                "contacts_hourly_calls",
                "import_threshold",
                "list_id",
                "notify_url",
                "other_calls",
                "timeout_seconds",
                "webhook_header",
            }
        ),
    ),
    "hubspot": Takes(
        frozenset({"client_id", "client_secret", "refresh_token", "token"}),
        frozenset(
            {
                "burst_calls",
                "daily_calls",
                "look_up",
                "portal_id",
                "search_calls",
                "search_overlap_seconds",
                "timeout_seconds",
            }
        ),
    ),
    "mautic": Takes(
        frozenset(
            {
                "client_id",
                "client_secret",
                "password",
                "refresh_token",
                "username",
                "webhook_secret",
            }
        ),
        frozenset({"batch_size", "hourly_calls", "timeout_seconds"}),
    ),
    "n8n": Takes(
        frozenset(
            {
                "header_name",
                "header_value",
                "jwt_secret",
                "password",
                "signing_secret",
                "token",
                "username",
            }
        ),
        frozenset(
            {
                "auth",
                "batch_size",
                "calls_per_second",
                "concurrency",
                "health_path",
                "receiver_deduplicates",
                "response",
                "test_prefix",
                "timeout_seconds",
            }
        ),
    ),
    "trading": Takes(
        frozenset({"password", "token", "username"}),
        frozenset({"calls_per_second", "timeout_seconds"}),
    ),
    "whatsapp": Takes(
        frozenset({"access_token", "app_secret", "verify_token"}),
        frozenset({"business_id", "messages_per_second", "timeout_seconds", "version", "waba_id"}),
    ),
    "zoho": Takes(
        frozenset({"client_id", "client_secret", "refresh_token", "webhook_token"}),
        frozenset(
            {
                "accounts_url",
                "bulk_read_threshold",
                "burst_calls",
                "company_field",
                "daily_credits",
                "duplicate_check_fields",
                "edition",
                "timeout_seconds",
                "trigger",
            }
        ),
    ),
}


# They are given with the secrets, and are none: to hide them in texts could garble what has
# nothing to do with them, such as a contact's address.
_SHOWN = frozenset({"client_id", "header_name", "username"})


def secret_ones(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return those of an account's secrets that no text may repeat."""
    return {name: value for name, value in secrets.items() if name not in _SHOWN}


def check_names(account: Account) -> None:
    """Refuse a secret or an option that the account's adapter does not take.

    Raises ValueError naming it and those that there are.
    """
    takes = TAKES.get(account.crm)
    if takes is not None:
        _check("secret", account, account.secrets, takes.secrets)
        _check("option", account, account.options, takes.options)


def _check(what: str, account: Account, given: Collection[str], known: Collection[str]) -> None:
    for name in sorted(given):
        if name not in known:
            msg = (
                f"the {what} {name!r} is none that the {account.crm} connection takes; "
                f"it takes {', '.join(sorted(known))}"
            )
            raise ValueError(msg)
