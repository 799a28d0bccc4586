"""What settings say of places: where to listen, where a server is reached, where its data lies."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_LAST_PORT = 65535


def _listenable(told: str) -> str:
    port = told.rpartition(":")[2]
    if told.startswith("unix:") or (":" in told and port.isdecimal() and int(port) <= _LAST_PORT):
        return told
    message = "must be host:port, with a port from 0 to 65535"
    raise ValueError(message)


def _tcp(told: str) -> str:
    host, _, port = told.rpartition(":")
    if host and port.isdecimal() and int(port) <= _LAST_PORT and not told.startswith("unix"):
        return told
    message = "must be host:port, with a port from 0 to 65535"
    raise ValueError(message)


def _public(told: str) -> str:
    """Read where the server is reached from outside."""
    try:
        parts = urlsplit(told)
    except ValueError:
        parts = urlsplit("")
    whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    if whole and not (parts.query or parts.fragment or parts.username or parts.password):
        return told.rstrip("/")
    message = "must be a URL such as https://sync.example.com, with nothing after its path"
    raise ValueError(message)


def _postgres(told: SecretStr) -> SecretStr:
    if told.get_secret_value().startswith(("postgresql://", "postgres://")):
        return told
    message = "must be postgresql://user:password@host:port/database"
    raise ValueError(message)


def data_dir_of_xdg() -> Path:
    """Return the folder that the XDG base directory specification names."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local/share") / "crmsync"


Address = Annotated[str, AfterValidator(_listenable)]
TcpAddress = Annotated[str, AfterValidator(_tcp)]
PublicUrl = Annotated[str, AfterValidator(_public)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgres)]
