"""The secret that signs tokens while no setting says how they are signed.

It is made once in a data directory, so that `token` there mints what `serve` there accepts.
"""

import secrets
from contextlib import suppress
from pathlib import Path

_NAME = "token-secret"
_BYTES = 32


def development_secret(data_dir: Path) -> str:
    """Return the data directory's secret, made on the first call; only its owner can read it.

    Raises:
        OSError: it cannot be read or made; the text names the setting.
    """
    path = data_dir.expanduser() / _NAME
    try:
        if not path.exists():
            _make(path)
        return path.read_text(encoding="ascii")
    except OSError as error:
        message = f"CRMSYNC_DATA_DIR: {data_dir} cannot be used ({error.strerror})"
        raise OSError(message) from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    # Linked in whole, and only if nobody else was first: two processes never see two secrets.
    draft = path.with_name(f"{_NAME}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(_BYTES), encoding="ascii")
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
