"""Statements under sql/ that leave a place for a condition which is only known at run time."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.interfaces import BindTyping

from crmsync_server.store.statements import statement

_PLACE = "TRUE /* narrowed */"


class _Named(PGDialect):
    """Postgres with its parameters written `:like_this`, as in the files."""

    bind_typing = BindTyping.NONE
    default_paramstyle = "named"


def narrowed(name: str, condition: sa.ColumnElement[bool] | None) -> sa.TextClause:
    """Return a statement with a condition in its place; without one it is `statement(name)` itself.

    Args:
        name: as for `statement`; the file holds `TRUE /* narrowed */` where the condition belongs.
        condition: on tables, by the names that the statement gives them; its values are parameters
            with names that the statement does not use.
    """
    whole = statement(name)
    if condition is None:
        return whole
    compiled = condition.compile(dialect=_Named())  # type: ignore[no-untyped-call]  # SQLAlchemy left it so
    text = whole.text.replace(_PLACE, f"({compiled})")
    values = compiled.binds.items()
    return sa.text(text).bindparams(
        *(sa.bindparam(key, one.value, one.type) for key, one in values)
    )
