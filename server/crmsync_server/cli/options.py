"""Options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the embedded PostgreSQL.", show_default=False)
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
