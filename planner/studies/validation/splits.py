"""What is left out together: a group, a model, an accelerator, an engine, or a generation of accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from planner.exchange.measured.row import MeasuredRow

    Labels = NDArray[np.str_]

GENERATIONS = {
    "ampere": ("a100_40", "a100_80"),
    "hopper": ("h100", "h100_96", "h20", "h200", "h200_nvl", "h800"),
    "blackwell": ("b200", "b200_nominal", "b300", "gb200_nvl72", "gb300_nvl72", "nvl72_nominal"),
    "cdna3": ("mi300x", "mi325x"),
    "cdna4": ("mi355x",),
    "rubin": ("rubin", "rubin_nominal"),
}
"""Accelerators that share an instruction set and kernels."""
_GENERATION_OF = {name: generation for generation, names in GENERATIONS.items() for name in names}


def generation_of(accelerator: str) -> str:
    """Return the generation of an accelerator; one that is not listed is a generation of its own."""
    return _GENERATION_OF.get(accelerator, accelerator)


SPLITS: dict[str, Callable[[MeasuredRow], str]] = {
    "group": lambda row: row.group,
    "model": lambda row: row.model.name,
    "hardware": lambda row: row.accelerator.name,
    "engine": lambda row: row.engine,
    "generation": lambda row: generation_of(row.accelerator.name),
}
"""Name of a split -> what the rows of one part share."""


def labels(rows: Sequence[MeasuredRow], by: str) -> Labels:
    """Part that each row belongs to [row]."""
    return np.array([SPLITS[by](row) for row in rows], dtype=np.str_)


def folds(parts: Labels) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each part and the rows in it; the fit for a part uses all other rows."""
    for part in np.unique(parts):
        yield str(part), parts == part
