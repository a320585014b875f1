"""From a raw table to a load: axes, steps, values; what is wrong is refused, what is odd is stated as a warning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.arrays import LARGEST_COUNT, raise_if_any
from planner.exchange.document_keys import LOAD_KEYS, normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_EXPERTS = 10_000
"""Experts of a layer, and layers, beyond any model: more is a table of something else."""

UNREDUCED_EXPERTS = 16
"""Fewer experts than this are never taken for a dump of one rank: small tables are often made up by hand."""

RANK_EXPERTS = 4
"""Smallest blocks that are taken for those of ranks; forced balance leaves pairs out too (afd-plugin issue 156)."""

EQUAL_TOTALS = 0.01
"""Layers of one recording carry the same tokens; published tables differ by less than 0.0004, so 0.01 is odd."""

SURELY_SEEN = 20
"""Mean tokens an expert from which one that was never seen is odd, not unlucky."""

TRANSPOSED_ROWS = 8
TELLING_TOKENS = 1000
"""Tokens from which equal totals are no accident of a small example."""


@dataclass(frozen=True, eq=False)
class RawLoad:
    """A table as a file holds it.

    Attributes
    ----------
    table
        Shape [layer, expert] or [step, layer, expert].
    key
        Where it stood in the file.
    kind
        Name of the format, for people.
    warnings
        What the reader of the format noticed.
    axes_known
        Whether the format leaves no doubt about the axes.
    """

    table: NDArray[Any]
    key: str
    kind: str
    warnings: list[str] = field(default_factory=list)
    axes_known: bool = False


@dataclass(frozen=True, eq=False)
class LoadFile:
    """A load that passed all checks.

    Attributes
    ----------
    table
        Tokens, shape [layer, expert]; an all-zero row is a dense layer.
    kind
        Name of the format, for people.
    warnings
        What a person should know before trusting the table.
    """

    table: NDArray[np.float64]
    kind: str
    warnings: tuple[str, ...]


def checked(raw: RawLoad, file: str) -> LoadFile:
    """Check type, shape and values; sum steps.

    Raises
    ------
    InstanceError
        If the table holds no finite non-negative counts of that shape, is zero, or is the dump of one rank.
    """
    table, key = raw.table, raw.key
    _refuse_wrong_shape(table, file, key)
    bad = np.argwhere(~(np.isfinite(table) & (table >= 0) & (table <= LARGEST_COUNT)))
    places = ["".join(f"[{index}]" for index in place) for place in bad]
    problems = [
        Problem(file, key + place, f"is {table[tuple(at)]}", "give a count >= 0")
        for place, at in zip(places, bad, strict=True)
    ]
    raise_if_any(problems, file, key)
    warnings = list(raw.warnings)
    load = np.asarray(table, dtype=float)
    if load.ndim == 3:
        load = _sum_steps(load, warnings, axes_known=raw.axes_known)
    elif not raw.axes_known:
        load = _upright(load, warnings)
    if not load.any():
        raise InstanceError.single(file, key, "is zero everywhere", "record with traffic running")
    _refuse_unreduced(load, file, key)
    warnings += [*_unseen(load), *_uneven_totals(load)]
    return LoadFile(load, raw.kind, tuple(warnings))


def _refuse_wrong_shape(table: NDArray[Any], file: str, key: str) -> None:
    if table.dtype.kind not in "iuf":
        raise InstanceError.single(file, key, f"holds {table.dtype}, not numbers", "give token counts")
    if table.ndim not in (2, 3) or 0 in table.shape:
        message = (
            f"has shape {list(table.shape)}, expected [layer, expert] or [step, layer, expert], none of them empty"
        )
        raise InstanceError.single(file, key, message, "give one row of token counts a layer")
    if max(table.shape[-2:]) > MOST_EXPERTS:
        message = f"has {table.shape[-2]} layers of {table.shape[-1]} experts, more than {MOST_EXPERTS}"
        raise InstanceError.single(file, key, message, "give one row of token counts a layer")
    if table.ndim == 3 and normal(key) not in LOAD_KEYS and is_pattern(table):
        message = "holds only 0 and 1: a placement pattern [device, layer, expert], not token counts"
        raise InstanceError.single(file, key, message, "give token counts; `planner import map` reads a pattern")


def is_pattern(table: NDArray[Any]) -> bool:
    """Whether a table holds only 0 and 1, as placement patterns do."""
    return bool(np.isin(table, (0, 1)).all() and table.any())


def _sum_steps(load: NDArray[np.float64], warnings: list[str], *, axes_known: bool) -> NDArray[np.float64]:
    """Sum [step, layer, expert] over steps; [layer, step, expert] is told by layers that agree in every step."""
    totals = load.sum(axis=2)
    telling = not axes_known and min(totals.shape) > 1 and totals.min() >= TELLING_TOKENS
    if telling and _equal(totals, axis=0) and not _equal(totals, axis=1):
        warnings.append("read as [layer, step, expert]: so every layer has the same tokens in a step")
        return np.asarray(load.sum(axis=1))
    if len(load) == 1:
        warnings.append("holds one step only: plan on more steps, or the plan follows the noise of one batch")
    return np.asarray(load.sum(axis=0))


def _upright(load: NDArray[np.float64], warnings: list[str]) -> NDArray[np.float64]:
    """Turn [expert, layer] over: its columns, not its rows, agree in their totals."""
    rows, columns = load.shape
    if rows < TRANSPOSED_ROWS or rows <= columns or columns < 2:
        return load
    if _equal(load.sum(axis=0)[:, None], axis=0) and not _equal(load.sum(axis=1)[:, None], axis=0):
        warnings.append("read as [expert, layer]: the columns, not the rows, have equal totals")
        return load.T.copy()
    return load


def _equal(totals: NDArray[np.float64], axis: int) -> bool:
    """Whether the non-zero totals agree along ``axis``."""
    seen = np.where(totals > 0, totals, np.nan)
    some = np.where(np.isnan(seen).all(axis=axis, keepdims=True), 0.0, seen)
    return bool((np.nanmax(some, axis=axis) - np.nanmin(some, axis=axis) <= 1e-9 * np.nanmax(some, axis=axis)).all())


def _refuse_unreduced(load: NDArray[np.float64], file: str, key: str) -> None:
    """Refuse the dump of one rank, or few: only whole blocks of experts were ever seen (sglang issue 5524)."""
    seen, experts = np.flatnonzero(load.any(axis=0)), load.shape[1]
    blocks = len(runs(seen))
    if experts < UNREDUCED_EXPERTS or not 2 <= len(seen) <= experts // 2:
        return
    if blocks == 1 or common_block(seen, experts) >= RANK_EXPERTS:
        whose = "one rank" if blocks == 1 else "some ranks"
        message = f"only experts {ranges(seen)} of {experts} were seen: the counts of {whose}, not of the model"
        raise InstanceError.single(file, key, message, "sum the files of all ranks; the others are missing")


def _unseen(load: NDArray[np.float64]) -> list[str]:
    """Warn of experts that no layer, or a well-filled layer, has seen; a whole block of them is a missing rank."""
    experts = load.shape[1]
    never = np.flatnonzero(~load.any(axis=0))
    warnings = []
    if len(never):
        likely = common_block(never, experts) > 1
        why = ": the counts of a rank may be missing" if likely else ": a placement gives them no load"
        warnings.append(f"experts {ranges(never)} of {experts} were never seen in any layer{why}")
    filled = load[load.sum(axis=1) >= SURELY_SEEN * experts]
    odd = int((filled == 0).sum()) - len(never) * len(filled)
    if odd > 0:
        warnings.append(f"{odd} experts were never seen in their layer though it has {SURELY_SEEN} tokens an expert")
    return warnings


def _uneven_totals(load: NDArray[np.float64]) -> list[str]:
    totals = load.sum(axis=1)
    moe = np.flatnonzero(totals > 0)
    least, most = moe[np.argmin(totals[moe])], moe[np.argmax(totals[moe])]
    if totals[most] - totals[least] <= EQUAL_TOTALS * totals[most]:
        return []
    return [
        f"layers differ in their totals, from {totals[least]:.6g} (layer {least}) to {totals[most]:.6g} "
        f"(layer {most}): not one recording, or counts of some layers are missing"
    ]


def runs(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split sorted numbers into runs of neighbours."""
    return np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)


def common_block(numbers: NDArray[np.int64], experts: int) -> int:
    """Largest block size that sorted experts fill whole blocks of, as the experts of some ranks do."""
    return int(np.gcd.reduce([experts, *(bound for run in runs(numbers) for bound in (run[0], len(run)))]))


def ranges(numbers: NDArray[np.int64], most: int = 6) -> str:
    """Name sorted numbers in short: 0-2, 5, 7-9."""
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs(numbers)]
    return ", ".join(parts[:most]) + (" and more" if len(parts) > most else "")
