"""Write a program as an LP or MPS file that any solver reads."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from planner.errors import InstanceError, SolverError
from planner.solver.run import check, new_highs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planner.solver.matrix import MatrixModel

MODEL_SUFFIXES = (".lp", ".mps")
_LONGEST_NAME = 200  # LP readers stop at 255 characters
_RESERVED = re.compile(
    r"st|s\.t\.|subject|such|to|that|bounds?|bin|binar(y|ies)|gen|generals?|int|integers?|semi|sos[12]?|end|free|inf|infinity|"
    r"min|minimi[sz]e|minimum|max|maximi[sz]e|maximum|obj|rhs|e\d.*",  # e1 would be an exponent after a coefficient
    flags=re.IGNORECASE,
)


def write_model(matrix: MatrixModel, path: Path) -> None:
    """Write the program with its names to ``path``; the suffix, ``.lp`` or ``.mps``, gives the format.

    Names are made safe for both formats (``x[1,2]`` becomes ``x_1_2``). The file appears whole or not at all.

    Raises
    ------
    InstanceError
        If the suffix is another one or the folder cannot be written to.
    SolverError
        If HiGHS cannot write the program.
    """
    if path.suffix.lower() not in MODEL_SUFFIXES:
        raise InstanceError.single(str(path), "", "unknown model format", "end the name with .lp or .mps")
    highs = new_highs(matrix)
    for column, name in enumerate(safe_names(matrix.column_names, "x")):
        check(highs.passColName(column, name), f"name a column {name}")
    for row, name in enumerate(safe_names(matrix.row_names, "r")):
        check(highs.passRowName(row, name), f"name a row {name}")
    partial = path.with_name(f".{path.stem}.partial{path.suffix.lower()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        check(highs.writeModel(str(partial)), f"write {path.name}")
        if not partial.stat().st_size:
            raise SolverError(f"HiGHS wrote an empty file for {path.name}")
        partial.replace(path)
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be written: {error.strerror}", "check the folder") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def safe_names(names: Sequence[str], prefix: str) -> list[str]:
    """Return unique names of letters, digits and underscores that no format reads as a number or a keyword."""
    taken: set[str] = set()
    safe = []
    for index, name in enumerate(names):
        candidate = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:_LONGEST_NAME]
        if not candidate[:1].isalpha() or _RESERVED.fullmatch(candidate):
            candidate = f"{prefix}_{candidate}"
        if candidate in taken:
            candidate = f"{candidate}_{prefix}{index}"
        taken.add(candidate)
        safe.append(candidate)
    return safe
