"""The settings of a verb: its options come before the environment."""

from typing import TYPE_CHECKING

from crmsync_server.cli.running import refuse

if TYPE_CHECKING:
    from crmsync_server.settings import Settings


def read_settings(**told: object) -> "Settings":
    """Return the settings; refuse what is wrong with them."""
    from pydantic import ValidationError

    from crmsync_server.settings import Settings

    try:
        return Settings.model_validate(
            {name: value for name, value in told.items() if value is not None}
        )
    except ValidationError as error:
        refuse("\n".join(_wrong(e["loc"], e["msg"]) for e in error.errors()))


def _wrong(place: tuple[int | str, ...], message: str) -> str:
    """Say which variable is wrong, without its value: it may be a secret."""
    told = message.removeprefix("Value error, ")
    return f"CRMSYNC_{str(place[0]).upper()}: {told}" if place else told
