"""What a Zoho CRM connection may be told: its data centre, its edition, and how it writes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from crmsync_server.crm.adapter import Account, Limit
from crmsync_server.crm.http import number
from crmsync_server.crm.zoho_limits import BURST, CREDITS

API_URL = "https://www.zohoapis.com"
MAX_BATCH = 100
_BURST = timedelta(seconds=10)
_DAY = timedelta(days=1)
# Credentials go to these hosts alone, or to the connection's own: an option that could name any
# other would lead stored credentials to whoever may change an option.
_CENTRES = r"(com\.au|com\.cn|com|eu|in|jp|sa|uk|ca|ae)"
_ACCOUNTS = re.compile(rf"https://accounts\.(zoho|zohocloud)\.{_CENTRES}")
_API = re.compile(rf"https://[a-z]+\.zohoapis\.{_CENTRES}")
_CANADA = "ca"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_TRIGGERS = frozenset({"workflow", "approval", "blueprint", "pathfinder", "orchestration"})
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Edition:
    """What Zoho grants an edition.

    credits: in any 24 hours, without what each user adds; calls: under way at once, of one
        application; pushes: how many of those we take for deliveries, for ten at once are the
        most that any edition grants to upserts.
    """

    credits: int
    calls: int
    pushes: int


EDITIONS: Mapping[str, Edition] = {
    "free": Edition(5_000, 5, 2),
    "standard": Edition(50_000, 10, 4),
    "professional": Edition(50_000, 15, 6),
    "enterprise": Edition(50_000, 20, 8),
    "ultimate": Edition(50_000, 25, 8),
}
_DEFAULT_EDITION = "standard"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where a connection's data centre is.

    accounts_url: gives tokens. api_url: serves the API where a token does not tell.
    pinned: whether the connection itself says where the API is, whatever a token tells.
    """

    accounts_url: str
    api_url: str
    pinned: bool

    def api(self, told: str) -> str:
        """Return where the API is, given the `api_domain` of a token; one of Zoho's or none."""
        return self.api_url if self.pinned or not _API.fullmatch(told) else told


@dataclass(frozen=True, slots=True)
class Writing:
    """How contacts are written.

    trigger: Zoho's automations that a write sets off; None for all of them.
    check_fields: by which fields an upsert finds a record, in order.
    company_field: the API name of the field that takes the company.
    """

    trigger: tuple[str, ...] | None
    check_fields: tuple[str, ...]
    company_field: str


def hosts(account: Account) -> Hosts:
    """Return an account's hosts; raises ValueError naming the option that is wrong.

    base_url names the data centre, or a host of its own (a simulator) that gives tokens as well.
    """
    base = account.base_url.rstrip("/")
    given = account.options.get("accounts_url", "").strip().rstrip("/")
    own = "{0.scheme}://{0.netloc}".format(urlsplit(base))
    if given and given != own and not _ACCOUNTS.fullmatch(given):
        msg = (
            f"the option 'accounts_url' of the {account.crm} connection must be the accounts "
            "server of a Zoho data centre, such as https://accounts.zoho.eu"
        )
        raise ValueError(msg)
    if base == API_URL and given:
        return Hosts(given, _api_of(given), pinned=False)
    centre = _API.fullmatch(base)
    accounts = given or (_accounts_of(centre[1]) if centre else own)
    return Hosts(accounts, base, pinned=base != API_URL)


def _accounts_of(centre: str) -> str:
    return f"https://accounts.{'zohocloud' if centre == _CANADA else 'zoho'}.{centre}"


def _api_of(accounts_url: str) -> str:
    found = _ACCOUNTS.fullmatch(accounts_url)
    return f"https://www.zohoapis.{found[2]}" if found else accounts_url


def edition(account: Account) -> Edition:
    """Return the edition that the option `edition` names; raises ValueError."""
    name = account.options.get("edition", "").strip().lower() or _DEFAULT_EDITION
    if name not in EDITIONS:
        msg = (
            f"the option 'edition' of the {account.crm} connection must be one of "
            f"{', '.join(EDITIONS)}"
        )
        raise ValueError(msg)
    return EDITIONS[name]


def limits(account: Account) -> tuple[Limit, ...]:
    """Return what an account may call; raises ValueError naming the option that is wrong."""
    granted = edition(account)
    # A call takes about half a second: so many in ten seconds are a quarter of them at once.
    burst = number(account, "burst_calls", 5 * granted.calls)
    credits_ = number(account, "daily_credits", granted.credits)
    return (Limit(CREDITS, credits_, _DAY), Limit(BURST, burst, _BURST))


def writing(account: Account) -> Writing:
    """Return how an account is written to; raises ValueError naming the option that is wrong."""
    return Writing(
        _trigger(account, account.options.get("trigger", "")),
        _check_fields(account, account.options.get("duplicate_check_fields", "")),
        _field(account, "company_field", account.options.get("company_field", "")),
    )


def _trigger(account: Account, told: str) -> tuple[str, ...] | None:
    names = _names(told.lower())
    if names == (_ALL,):
        return None
    if not _TRIGGERS.issuperset(names):
        msg = (
            f"the option 'trigger' of the {account.crm} connection must be all, or some of "
            f"{', '.join(sorted(_TRIGGERS))}"
        )
        raise ValueError(msg)
    return names


def _check_fields(account: Account, told: str) -> tuple[str, ...]:
    return tuple(
        _field(account, "duplicate_check_fields", name) for name in _names(told) or ("Email",)
    )


def _field(account: Account, option: str, name: str) -> str:
    found = name.strip() or "Account_Name"
    if not _NAME.fullmatch(found):
        msg = f"the option {option!r} of the {account.crm} connection takes API names of fields"
        raise ValueError(msg)
    return found


def _names(told: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in told.split(",") if name.strip()))
