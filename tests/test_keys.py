"""The keys of credentials, as a server that starts finds them."""

from pathlib import Path

import pytest

from crmsync_server.store.keys import FILE_NAME, KeyFile
from tests.test_main import run

SECRET = "bm90IGEga2V5"  # base64, and too short


def env(database_url: str, data_dir: Path, **more: str) -> dict[str, str]:
    """Return the settings of a server."""
    return {
        "CRMSYNC_DATABASE_URL": database_url,
        "CRMSYNC_DATA_DIR": str(data_dir),
        "CRMSYNC_GRPC_ADDRESS": "127.0.0.1:0",
        **more,
    }


async def test_keys_that_others_can_read_stop_the_server(database_url: str, data_dir: Path) -> None:
    """At its start, and not when the first credential is needed; it says what would be right."""
    KeyFile(data_dir).current()
    path = data_dir / FILE_NAME
    path.chmod(0o644)
    stopped = await run("serve", env=env(database_url, data_dir))
    assert stopped.status == 1
    assert f"{path} has mode 0644" in stopped.err
    assert "it must have 0600" in stopped.err
    assert path.read_text().strip().partition(":")[2] not in stopped.err


async def test_damaged_keys_stop_the_server(database_url: str, data_dir: Path) -> None:
    """They are not replaced: a copy may bring the credentials back."""
    KeyFile(data_dir).current()
    (data_dir / FILE_NAME).write_text(f"one:{SECRET}\n")
    stopped = await run("serve", env=env(database_url, data_dir))
    assert stopped.status == 1
    assert "is damaged: key 1 must be id:base64, with 32 bytes" in stopped.err
    assert SECRET not in stopped.err
    assert (data_dir / FILE_NAME).read_text() == f"one:{SECRET}\n"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (f"one:{SECRET}", "key 1 must be id:base64, with 32 bytes"),
        (f"{SECRET}:one", "key 1 must be id:base64, with 32 bytes"),
        (SECRET, "key 1 must be id:base64"),
        (",", "one key at least"),
    ],
)
async def test_a_setting_that_holds_no_keys_is_refused(
    database_url: str, data_dir: Path, told: str, why: str
) -> None:
    """By the variable's name, without its value."""
    wrong = env(database_url, data_dir, CRMSYNC_ENCRYPTION_KEYS=told)
    refused = await run("serve", env=wrong)
    assert refused.status == 2
    assert "CRMSYNC_ENCRYPTION_KEYS" in refused.err
    assert why in refused.err
    assert SECRET not in refused.err
