"""The log: one line per event on stderr, as JSON or for people, and never a secret in it."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from crmsync_server.settings.kinds import LogFormat

_HIDDEN = "***"
_SECRET_NAMES = re.compile(
    r"token|secret|password|api_?key|authorization|credential", re.IGNORECASE
)
_SECRET_TEXTS = (
    (re.compile(r"(://[^:/@\s]*):[^@\s]+@"), rf"\1:{_HIDDEN}@"),  # the password of a URL
    (re.compile(r"(\bbearer\s+)[^\s'\",]+", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), _HIDDEN),  # a JWT
)
# What they say at INFO is one line for each request or statement.
_CHATTY = ("alembic", "httpx", "httpcore", "uvicorn")


def configure(log_format: LogFormat) -> None:
    """Send everything that is logged, by structlog or by logging, to stderr in this format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, shared))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide what a name or a text gives away as a secret; a structlog processor."""
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = _HIDDEN
        elif not isinstance(value, (bool, int, float, type(None))):
            event[name] = hidden(value if isinstance(value, str) else str(value))
    return event


def hidden(text: str) -> str:
    """Return a text without the passwords and tokens in it."""
    for pattern, instead in _SECRET_TEXTS:
        text = pattern.sub(instead, text)
    return text


def _formatter(log_format: LogFormat, shared: list[Processor]) -> logging.Formatter:
    # Tracebacks are plain text: the pretty ones print local variables, and so secrets.
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            without_secrets,
            last,
        ],
    )
