"""Rendering docs/reference/settings.md from the settings."""

from datetime import timedelta
from pathlib import Path
from typing import get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from crmsync_server.settings import Settings
from crmsync_server.settings.kinds import LogFormat


def reference() -> str:
    """Return docs/reference/settings.md."""
    rows = "\n".join(_row(name, field) for name, field in Settings.model_fields.items())
    return f"""# Settings

Environment variables, read when a server starts. An empty one counts as unset. Durations are
seconds (`90`) or ISO 8601 (`PT1M30S`). Rendered from `crmsync_server/settings/`.

| Variable | Type | Default | What it says |
| --- | --- | --- | --- |
{rows}
"""


def _row(name: str, field: FieldInfo) -> str:
    meaning = " ".join((field.description or "").split())
    prefix = Settings.model_config["env_prefix"]
    return f"| `{prefix}{name.upper()}` | {_kind(field)} | {_default(field)} | {meaning} |"


def _kind(field: FieldInfo) -> str:
    names: dict[object, str] = {
        timedelta: "duration",
        SecretStr: "secret",
        str: "text",
        int: "integer",
        float: "number",
        bool: "`true` or `false`",
        Path: "path",
        dict: "JSON object",
        LogFormat: "`json` or `console`",
    }
    if get_origin(field.annotation) is dict:
        return names[dict]
    if get_origin(field.annotation) is tuple:
        return "list"
    arguments = [getattr(kind, "__origin__", kind) for kind in get_args(field.annotation)]
    kinds = [kind for kind in arguments if kind in names]
    return names[kinds[0] if kinds else field.annotation]


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.default_factory is dict:
        return "`{}`"
    if isinstance(default, timedelta):
        return f"`{default.total_seconds():g}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, (str, int, float)) else "unset"
