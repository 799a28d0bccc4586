"""Which addresses calls to CRMs may go to: a tenant's URL must not lead into our own network.

Only what the whole internet can reach is called, and what the operator allows besides. The
lists are IANA's registries of special-purpose addresses, with what clouds put elsewhere.
"""

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

import httpx

from crmsync_server.crm.adapter import CredentialsRefusedError

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

_LONGEST_URL = 2_048
_LONGEST_HOST = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata, on an address that looks public
        "169.254.0.0/16",  # link-local; most clouds' metadata at 169.254.169.254
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocols; Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Everything outside it is loopback, private, link-local, multicast or nobody's.
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocols; Teredo, which embeds IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4 addresses
        "3fff::/20",  # documentation
    )
)
# Where DNS64 leads on a network without IPv4: the embedded address is what is called.
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefusedError(CredentialsRefusedError):
    """The connection's URL leads where no call may go: the lane pauses until it is corrected."""


def checked_url(url: str, allowed: Networks = ()) -> str:
    """Return a tenant's URL without a trailing slash, once it is fit to be called.

    A host name is judged when it is called; whatever it resolves to may change until then.

    Raises ValueError saying what is wrong and what would be right.
    """
    parts = _parts(url)
    if parts.scheme not in {"http", "https"}:
        msg = "the URL must begin with https:// or http://"
        raise ValueError(msg)
    if "@" in parts.netloc:
        msg = "the URL must not hold a user name or password; credentials are given apart"
        raise ValueError(msg)
    if "#" in url:
        msg = "the URL must not have a fragment (#…); it would never be sent"
        raise ValueError(msg)
    host = parts.hostname or ""
    _check_host(host, allowed)
    if _called_host(url) != host:
        msg = "the URL's host must be a valid name: its numbers from 0 to 255, its xn--… decodable"
        raise ValueError(msg)
    return url if parts.query else url.removesuffix("?").rstrip("/")


def check_literal(host: str, allowed: Networks) -> None:
    """Judge a host that is an address itself; any other host passes.

    Raises ValueError: no call may go there, or it is written in a way programs read differently.
    """
    try:
        address = ip_address(host)
    except ValueError:
        _refuse_odd_spelling(host)
        return
    if isinstance(address, IPv6Address) and address.scope_id:
        msg = "the URL's address must not name a network interface (%…)"
        raise ValueError(msg)
    if not is_allowed(address, allowed):
        msg = f"{host} is not a public address, and this server does not allow its network"
        raise ValueError(msg)


def is_allowed(address: Address, allowed: Networks) -> bool:
    """Tell whether a call may go to an address: it is public, or in a network that is allowed."""
    meant = _embedded(address)
    if any(meant in network for network in allowed):
        return True
    if isinstance(meant, IPv4Address):
        return not any(meant in network for network in _NOT_PUBLIC_4)
    return meant in _UNICAST_6 and not any(meant in network for network in _NOT_PUBLIC_6)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _parts(url: str) -> SplitResult:
    """Split a URL of plain characters; raises ValueError."""
    if len(url) > _LONGEST_URL:
        msg = f"the URL must have at most {_LONGEST_URL} characters"
        raise ValueError(msg)
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>^`{|}'):
        msg = "the URL must be plain ASCII: hosts as xn--…, other characters as %XX"
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = 0, urlsplit("")
    if port == 0:
        msg = "the URL must have a host, and no port or one from 1 to 65535"
        raise ValueError(msg)
    return parts


def _called_host(url: str) -> str:
    """Return which host the HTTP client would call; empty where it takes it for none."""
    try:
        called = httpx.URL(url)
        return called.raw_host.decode("ascii") if called.host else ""
    except (httpx.InvalidURL, UnicodeError):  # the latter where xn--… is nothing
        return ""


def _check_host(host: str, allowed: Networks) -> None:
    labels = host.removesuffix(".").split(".")
    is_name = len(host) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in labels)
    if not is_name and ":" not in host:
        msg = "the URL must name a host, such as crm.example.com"
        raise ValueError(msg)
    check_literal(host, allowed)


def _refuse_odd_spelling(host: str) -> None:
    try:
        meant = socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
    except (OSError, UnicodeError):
        return
    msg = f"the URL's address must be written as {meant}, if that is what is meant"
    raise ValueError(msg)
