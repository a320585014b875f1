"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planner.cli import complete

CaseArgument = Annotated[
    str,
    typer.Argument(
        help="A case file, or the name of one (see `planner list cases`).", autocompletion=complete.names_of("cases")
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the case, e.g. pools.nvl72.domains=3."),
]
LoadsOption = Annotated[
    Path | None, typer.Option("--loads", help="Recorded expert loads to use instead of the case's generator.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder to write; it must not exist. Default: a new one under outputs/.")
]
TimeLimitOption = Annotated[float | None, typer.Option("--time-limit", min=0.0, help="Seconds for the solver.")]
GapOption = Annotated[float, typer.Option("--gap", min=0.0, help="Relative gap at which the search may stop.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of the solver.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Solves side by side.")]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        help="processes, or ray: a local or an existing Ray cluster.",
        autocompletion=complete.one_of("processes", "ray"),
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the solver and of placement search.")]
