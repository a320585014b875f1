"""Where the layers of `planner place` are worked on: threads here, or a Ray cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import complete
from planner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.proof import Effort, Progress
    from planner.strategies.result import PlacementResult

BackendOption = Annotated[
    str,
    typer.Option(
        help="Where layers are searched: threads here, or ray (a cluster). Same map.",
        autocompletion=complete.one_of("threads", "ray"),
    ),
]


def problems(backend: str) -> list[Problem]:
    """Name what is wrong with the option."""
    if backend in ("threads", "ray"):
        return []
    return [Problem("command line", "--backend", f"no backend {backend!r}", "one of threads, ray")]


def placing(
    backend: str, workers: int | None, strategy: str, effort: Effort | None, progress: Progress
) -> Callable[[PlacementRequest], PlacementResult]:
    """Return the function that places one request."""
    from planner.strategies.api import run

    if backend == "threads":
        return partial(run, strategy=strategy, effort=effort, progress=progress)
    from planner.strategies.parallel import default_workers
    from planner.studies.engine import Engine
    from planner.studies.place_layers import place_layers

    engine = Engine("ray", workers or default_workers())
    return partial(place_layers, strategy=strategy, effort=effort, engine=engine, progress=progress)
