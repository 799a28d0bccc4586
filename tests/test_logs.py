"""The log: structured, on stderr, and without secrets."""

import json
import subprocess
import sys

import pytest

from crmsync_server.logs import hidden, without_secrets

# In a process of its own: what it configures is the process's.
SPEAK = """
import logging, sys
import structlog
from crmsync_server.logs import configure
from crmsync_server.settings.kinds import LogFormat
configure(LogFormat(sys.argv[1]))
log = structlog.get_logger()
log.info("contact pushed", crm="hubspot", api_key="hunter2")
logging.getLogger("asyncio").warning("connecting to %s", "postgresql://a:hunter2@db/x")
try:
    password = "hunter2"
    raise LookupError("Authorization: Bearer hunter2")
except LookupError:
    log.exception("push failed")
"""


def spoken(log_format: str) -> str:
    """Return what a process logs."""
    command = [sys.executable, "-c", SPEAK, log_format]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == ""
    return told.stderr


def test_json_lines_hold_what_was_said() -> None:
    """Of structlog and of logging alike, one object a line."""
    pushed, connecting, failed = map(json.loads, spoken("json").splitlines())
    assert pushed["event"] == "contact pushed"
    assert pushed["crm"] == "hubspot"
    assert pushed["level"] == "info"
    assert connecting["event"] == "connecting to postgresql://a:***@db/x"
    assert "LookupError" in failed["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_is_logged(log_format: str) -> None:
    """Neither by name, nor in a text, nor out of a traceback or its local variables."""
    told = spoken(log_format)
    assert "push failed" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgresql://crmsync:hunter2@db/x", "postgresql://crmsync:***@db/x"),
        ("authorization: Bearer abc.def", "authorization: Bearer ***"),
        ("token eyJhbGciOi.eyJzdWIi.c2lnbg refused", "token *** refused"),
        ("https://api.example.com/v3/contacts?a=b", "https://api.example.com/v3/contacts?a=b"),
        ("ada@example.com: 10:30", "ada@example.com: 10:30"),
    ],
)
def test_a_secret_is_hidden_in_its_text(text: str, safe: str) -> None:
    """And what only looks like one is left alone."""
    assert hidden(text) == safe


def test_a_secret_is_hidden_by_its_name() -> None:
    """Whatever it holds; numbers and truth values pass as they are."""
    told = without_secrets(None, "", {"jwt_secret": b"x", "count": 3, "cause": ValueError("no")})
    assert told == {"jwt_secret": "***", "count": 3, "cause": "no"}
