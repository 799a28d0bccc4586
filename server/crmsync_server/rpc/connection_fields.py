"""Connections as messages, and what a request makes of one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from crmsync.v1 import connection_pb2
from crmsync.v1.connection_service_pb2 import UpdateConnectionRequest
from crmsync_server.crm.addresses import Networks, checked_url
from crmsync_server.crm.hiding import hidden
from crmsync_server.errors import InvalidRequestError, UrlNotAllowedError, Violation
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.connection import Draft, content_of

_OPTION = "options."
_FIELDS = ("display_name", "base_url", "options")
_MAX_OPTIONS = 50
_NAMED = re.compile(r"the (secret|option) '([^']{1,64})'")
_ANYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the parts of an account stand in a request."""

    base_url: str
    options: str
    secrets: str


STORED = Paths("connection.base_url", "connection.options", "credentials.secrets")
GIVEN = Paths("given.base_url", "given.options", "given.credentials.secrets")


def message_of(row: sa.Row[Any]) -> connection_pb2.Connection:
    """Turn a row of connections, with the names of its secrets, into its message."""
    return connection_pb2.Connection(
        id=str(row.id),
        crm=row.crm,
        display_name=row.display_name,
        base_url=row.base_url,
        options=row.options,
        credentials_set=row.names,
        health=connection_pb2.ConnectionHealth.Value(f"CONNECTION_HEALTH_{row.health}"),
        health_reason=row.health_reason,
        check_time=timestamp(row.check_time),
        account_id=row.account_id,
        key_id=row.key_id,
        version=row.version,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def url_of(given: str, paths: Paths, allowed: Networks) -> str:
    """Return a URL as it is kept; empty for the CRM's public address.

    Raises:
        UrlNotAllowedError: its host is an address that may not be called.
        InvalidRequestError: it is no URL that could be called at all.
    """
    if not given:
        return ""
    try:
        url = checked_url(given, _ANYWHERE)
    except ValueError as wrong:
        raise _refusal(paths.base_url, "url", f"is wrong: {wrong}") from None
    if "?" in url:
        why = "must not have a query (?…); what the CRM needs to know besides is an option"
        raise _refusal(paths.base_url, "url.query", why)
    try:
        return checked_url(given, allowed)
    except ValueError:
        raise UrlNotAllowedError(paths.base_url, urlsplit(given).hostname or "") from None


def misfit(why: ValueError, paths: Paths, secrets: Mapping[str, str]) -> InvalidRequestError:
    """Return the error for an account that no adapter can be built for: it names the field."""
    message = hidden(str(why), secrets.values())
    return _refusal(_field(str(why), paths), "account", f"is wrong: {message}")


def draft_of(
    connection: connection_pb2.Connection, secrets: Mapping[str, str], base_url: str
) -> Draft:
    """Return what a request to create a connection asks for."""
    return Draft(connection.display_name, base_url, dict(connection.options), dict(secrets))


def changed(row: sa.Row[Any], request: UpdateConnectionRequest, base_url: str) -> Draft:
    """Return what an UpdateConnection makes of a connection.

    base_url: the request's, as it is kept.

    Raises:
        InvalidRequestError: the mask names what cannot be changed, or the result breaks a rule.
    """
    before, given = content_of(row), request.connection
    paths = list(request.update_mask.paths)
    if broken := list(_unknown(paths)):
        raise InvalidRequestError(broken)
    for path in paths or [name for name in _FIELDS if getattr(given, name)]:
        before = _with(before, path, given, base_url)
    secrets = dict(request.credentials.secrets) if request.HasField("credentials") else None
    after = replace(before, secrets=secrets)
    if broken := list(_broken(row, after)):
        raise InvalidRequestError(broken)
    return after


def _with(before: Draft, path: str, given: connection_pb2.Connection, base_url: str) -> Draft:
    match path:
        case "display_name":
            return replace(before, display_name=given.display_name)
        case "base_url":
            return replace(before, base_url=base_url)
        case "options":
            return replace(before, options=dict(given.options))
    key = path.removeprefix(_OPTION)
    others = {name: value for name, value in before.options.items() if name != key}
    named = {key: given.options[key]} if key in given.options else {}
    return replace(before, options=others | named)


def _unknown(paths: Sequence[str]) -> Iterator[Violation]:
    for place, path in enumerate(paths):
        if path not in _FIELDS and path.removeprefix(_OPTION) in {path, ""}:
            told = f"must be one of {', '.join(_FIELDS)}, {_OPTION}key"
            yield Violation(f"update_mask.paths[{place}]", "update_mask", told)


def _broken(row: sa.Row[Any], after: Draft) -> Iterator[Violation]:
    if len(after.options) > _MAX_OPTIONS:
        told = f"must hold at most {_MAX_OPTIONS} entries, with those it has already"
        yield Violation("connection.options", "map.max_pairs", told)
    if after.base_url != row.base_url and after.secrets is None:
        # Else whoever may change an address could have the credentials sent to his own.
        told = "must come with credentials: those that are kept are for the address that is kept"
        yield Violation("connection.base_url", "connection.base_url", told)


def _field(message: str, paths: Paths) -> str:
    found = _NAMED.search(message)
    if found is None:
        return paths.base_url if "URL" in message else paths.secrets
    path = paths.secrets if found[1] == "secret" else paths.options
    return f'{path}["{found[2]}"]'


def _refusal(field: str, rule: str, description: str) -> InvalidRequestError:
    return InvalidRequestError([Violation(field, rule, description)])
