"""The development secret of a data directory."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crmsync_server.development import development_secret


def test_the_secret_is_made_once(data_dir: Path) -> None:
    """And is long enough for HS256."""
    secret = development_secret(data_dir)
    assert len(secret) >= 32
    assert development_secret(data_dir) == secret


def test_every_directory_has_its_own(tmp_path: Path) -> None:
    """A token of one opens no other."""
    assert development_secret(tmp_path / "a") != development_secret(tmp_path / "b")


def test_only_its_owner_can_read_it(data_dir: Path) -> None:
    """From the first byte on, and no draft stays behind."""
    development_secret(data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["token-secret"]
    assert stat.S_IMODE((data_dir / "token-secret").stat().st_mode) == 0o600


def test_whoever_asks_at_once_is_told_the_same(data_dir: Path) -> None:
    """`token` and `serve` may both be the first."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(development_secret, [data_dir] * 8))) == 1
