"""A workflow of the simulated n8n: its Webhook node, who may call it, and how it answers."""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse, Response

from crmsync_server.sandbox.n8n_errors import WorkflowError

# What the library that n8n asks takes for programs, as far as programs like ours come near it.
_BOTS = re.compile(
    r"bots?\b|(?<!lib)http|^python|^curl|^mozilla/\d\.\d\s\(compatible;?(\s\w+/\d+\.\d+)?\)$"
    r"|^[\w .():%-]+(/v?\d+(\.\d+)*)?$",
    re.IGNORECASE,
)
Auth = Literal["none", "basic", "header", "jwt"]
Respond = Literal["immediately", "node", "last_node", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCredentials:
    """What the nodes' credentials hold, for whichever kind of authentication they ask."""

    username: str = "sandbox"
    password: str = "sandbox-n8n-password"  # noqa: S105 - opens nothing but the simulator
    header_name: str = "x-api-key"
    header_value: str = "sandbox-n8n-key"
    jwt_secret: str = "sandbox-n8n-jwt-secret-of-32-bytes"  # noqa: S105 - likewise
    signing_secret: str = "sandbox-n8n-signing-secret"  # noqa: S105 - likewise


class Workflow(BaseModel):
    """One workflow as its author left it.

    auth: what its Webhook node asks for; has_credential: whether one was chosen for that.
    respond: at once, by a Respond to Webhook node, with its last node's data, or with no body.
    verifies: whether it refuses bodies whose signature is missing, wrong or old.
    fails: whether one of its nodes always fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    active: bool = True
    methods: tuple[str, ...] = ("POST",)
    auth: Auth = "header"
    has_credential: bool = True
    ignores_bots: bool = False
    respond: Respond = "immediately"
    verifies: bool = False
    fails: bool = False

    def admit(
        self, headers: Mapping[str, str], held: NodeCredentials, now: datetime
    ) -> Response | None:
        """Return the node's refusal of a caller, or None.

        Raises:
            WorkflowError: the node asks for a credential and has none.
        """
        if self.ignores_bots and _BOTS.search(headers.get("user-agent", "")):
            return refuse(HTTPStatus.FORBIDDEN)
        if self.auth == "none":
            return None
        if not self.has_credential:
            message = "No authentication data defined on node!"
            raise WorkflowError(HTTPStatus.INTERNAL_SERVER_ERROR, message)
        status = _ASKED[self.auth](headers, held, now)
        return None if status is None else refuse(status)


def refuse(status: HTTPStatus) -> Response:
    """Return the Webhook node's refusal: plain text, whatever is asked for."""
    required = status == HTTPStatus.UNAUTHORIZED
    message = "Authorization is required!" if required else "Authorization data is wrong!"
    challenge = {"www-authenticate": 'Basic realm="Webhook"'}
    return PlainTextResponse(message, status_code=status, headers=challenge)


def _basic(headers: Mapping[str, str], held: NodeCredentials, now: datetime) -> HTTPStatus | None:
    del now
    kind, _, pair = headers.get("authorization", "").partition(" ")
    try:
        told = base64.b64decode(pair, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return HTTPStatus.UNAUTHORIZED
    right = kind == "Basic" and told == f"{held.username}:{held.password}"
    return None if right else HTTPStatus.UNAUTHORIZED


def _header(headers: Mapping[str, str], held: NodeCredentials, now: datetime) -> HTTPStatus | None:
    del now
    right = headers.get(held.header_name.lower()) == held.header_value
    return None if right else HTTPStatus.FORBIDDEN


def _jwt(headers: Mapping[str, str], held: NodeCredentials, now: datetime) -> HTTPStatus | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not token:
        return HTTPStatus.UNAUTHORIZED
    try:
        head, payload, signature = token.split(".")
        algorithm, claims = json.loads(_decoded(head)), json.loads(_decoded(payload))
        expected = hmac.digest(held.jwt_secret.encode(), f"{head}.{payload}".encode(), sha256)
        right = algorithm["alg"] == "HS256" and hmac.compare_digest(_decoded(signature), expected)
        live = claims.get("exp", now.timestamp()) >= now.timestamp()
    except (ValueError, KeyError, TypeError, AttributeError):
        return HTTPStatus.FORBIDDEN
    return None if right and live else HTTPStatus.FORBIDDEN


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


_ASKED = {"basic": _basic, "header": _header, "jwt": _jwt}
