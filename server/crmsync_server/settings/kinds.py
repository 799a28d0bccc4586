"""What settings are made of: durations, secrets, options, networks and formats."""

import json
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_SHORTEST_SECRET = 32  # characters; a shorter one can be guessed from a token


def _seconds(told: object) -> object:
    try:
        return timedelta(seconds=float(told)) if isinstance(told, str) else told
    except ValueError:
        return told  # perhaps ISO 8601, which is pydantic's to read


def _long(told: SecretStr) -> SecretStr:
    if len(told.get_secret_value()) >= _SHORTEST_SECRET:
        return told
    message = f"must have {_SHORTEST_SECRET} characters or more"
    raise ValueError(message)


def _options(told: object) -> object:
    """Read a JSON object of texts; what is no text was not read from the environment."""
    try:
        options = json.loads(told) if isinstance(told, str) else told
    except (ValueError, RecursionError):
        options = None
    if isinstance(options, dict) and all(isinstance(value, str) for value in options.values()):
        return options
    message = 'must be a JSON object of texts, such as {"burst_calls": "100"}'
    raise ValueError(message)


def _networks(told: object) -> object:
    """Read networks in CIDR notation, separated by commas."""
    if not isinstance(told, str):
        return told
    try:
        return tuple(ip_network(one.strip()) for one in told.split(",") if one.strip())
    except ValueError as error:
        message = f"must be networks such as 10.0.0.0/8,fd00::/8 ({error})"
        raise ValueError(message) from error


SigningSecret = Annotated[SecretStr, AfterValidator(_long)]
Duration = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=timedelta(0))]
# Not decoded by the library: its error would name neither the variable nor what is right.
Options = Annotated[dict[str, str], NoDecode, BeforeValidator(_options)]
Secrets = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_options)]
Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"
