"""What an n8n connection is told: its URL, how the webhook is entered, how replies are read."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import unquote, urlsplit

import jwt

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.addresses import checked_url
from crmsync_server.crm.http import number
from crmsync_server.crm.names import secret_ones

_TOKEN_LIFE = timedelta(minutes=5)
_SHORTEST_JWT_SECRET = 32  # bytes, as many as the HS256 digest has
_LARGEST_BATCH = 1_000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What we send ourselves, and what steers the connection instead of naming a caller.
_OURS = re.compile(
    r"host|connection|content-.*|transfer-encoding|idempotency-key|x-crmsync-.*|accept.*|expect"
    r"|keep-alive|proxy-.*|te|trailer|upgrade|user-agent|origin"
)
# Addresses are judged when they are connected to; here it is the form that counts.
_ANYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Options:
    """One connection, read and checked.

    url: the production webhook; health_url: n8n's readiness.
    credentials: the headers that the webhook's authentication asks for, at a moment.
    results: whether the workflow's reply says what became of each contact.
    deduplicates: whether the receiver takes a contact again that it has already taken.
    """

    url: str
    health_url: str
    credentials: Callable[[datetime], Headers] = field(repr=False)
    signing_secret: str = field(repr=False)
    batch_size: int
    results: bool
    deduplicates: bool


def read(account: Account) -> Options:
    """Read a connection; raises ValueError naming the secret or option that is wrong."""
    url = _webhook(account)
    origin = urlsplit(url)
    health_path = account.options.get("health_path", "/healthz/readiness")
    if not health_path.startswith("/"):
        msg = "the option 'health_path' of the n8n connection must begin with a slash"
        raise ValueError(msg)
    return Options(
        url=url,
        health_url=checked_url(f"{origin.scheme}://{origin.netloc}{health_path}", _ANYWHERE),
        credentials=_credentials(account),
        signing_secret=account.secrets.get("signing_secret", ""),
        batch_size=_batch_size(account),
        results=_choice(account, "response", ("started", "results")) == "results",
        deduplicates=_choice(account, "receiver_deduplicates", ("true", "false")) == "true",
    )


def without_names(account: Account) -> Account:
    """Return the account with what is really secret: a user name may be part of any reply."""
    return replace(account, secrets=secret_ones(account.secrets))


def _webhook(account: Account) -> str:
    url = checked_url(account.base_url, _ANYWHERE)
    test_prefix = account.options.get("test_prefix") or "webhook-test"
    # n8n's router takes any case, and reads %XX, before it compares.
    segments = [one for one in unquote(urlsplit(url).path).lower().split("/") if one]
    if f"/{test_prefix.strip('/').lower()}/" in f"/{'/'.join(segments)}/":
        msg = (
            f"the URL of the n8n connection is a test webhook (/{test_prefix.strip('/')}/), which "
            "takes one call within two minutes; activate the workflow and give its Production URL"
        )
        raise ValueError(msg)
    if not segments:
        msg = (
            "the URL of the n8n connection must be the Webhook node's Production URL, such as "
            "https://n8n.example.com/webhook/contacts"
        )
        raise ValueError(msg)
    return url


def _batch_size(account: Account) -> int:
    return number(account, "batch_size", 1, _LARGEST_BATCH)


def _choice(account: Account, name: str, choices: tuple[str, ...]) -> str:
    """Return an option that is one of these; the first is the default."""
    told = account.options.get(name) or choices[0]
    if told not in choices:
        msg = f"the option {name!r} of the n8n connection must be one of {', '.join(choices)}"
        raise ValueError(msg)
    return told


def _credentials(account: Account) -> Callable[[datetime], Headers]:
    match _choice(account, "auth", ("none", "basic", "header", "jwt")):
        case "basic":
            username = _secret(account, "username")
            if ":" in username:
                msg = "the secret 'username' of the n8n connection must be without a colon"
                raise ValueError(msg)
            pair = f"{username}:{_secret(account, 'password')}"
            basic = {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
            return lambda _: basic
        case "header":
            header = {_header_name(account): _header_value(account, "header_value")}
            return lambda _: header
        case "jwt":
            return _bearer(account)
        case _:
            return lambda _: {}


def _bearer(account: Account) -> Callable[[datetime], Headers]:
    if account.secrets.get("token"):
        fixed = {"authorization": f"Bearer {_header_value(account, 'token')}"}
        return lambda _: fixed
    if not account.secrets.get("jwt_secret"):
        msg = "the n8n connection with auth 'jwt' needs the secret 'jwt_secret' or 'token'"
        raise ValueError(msg)
    secret = account.secrets["jwt_secret"]
    if len(secret.encode()) < _SHORTEST_JWT_SECRET:
        msg = (
            f"the secret 'jwt_secret' of the n8n connection must have {_SHORTEST_JWT_SECRET} "
            "characters or more; whoever sees one token can guess a shorter one"
        )
        raise ValueError(msg)

    def minted(now: datetime) -> Headers:
        claims = {"iss": "crmsync", "iat": now, "exp": now + _TOKEN_LIFE}
        return {"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}

    return minted


def _header_name(account: Account) -> str:
    name = _secret(account, "header_name")
    if not _HEADER_NAME.fullmatch(name) or _OURS.fullmatch(name.lower()):
        msg = "the secret 'header_name' of the n8n connection must name a header of its own"
        raise ValueError(msg)
    return name


def _header_value(account: Account, name: str) -> str:
    value = _secret(account, name).strip()
    if not value.isascii() or not value.isprintable():
        msg = f"the secret {name!r} of the n8n connection has illegal characters"
        raise ValueError(msg)
    return value


def _secret(account: Account, name: str) -> str:
    value = account.secrets.get(name, "")
    if not value.strip():
        msg = f"the secret {name!r} of the n8n connection is missing"
        raise ValueError(msg)
    return value
