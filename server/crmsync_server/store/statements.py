"""The statements under sql/, by name: `statement("queue/claim")` is sql/queue/claim.sql."""

from functools import cache
from importlib import resources

import sqlalchemy as sa


@cache
def statement(name: str) -> sa.TextClause:
    """Return one statement, its parameters written `:like_this`.

    Args:
        name: folder and file under sql/, without the suffix; the folder is the store module that
            runs it and the file is the function that does.

    Raises:
        FileNotFoundError: no such file.
    """
    path = resources.files("crmsync_server.store") / "sql" / f"{name}.sql"
    return sa.text(path.read_text(encoding="utf-8"))
