"""omni-infer: activation logs and per-rank count files (loads), 0/1 placement patterns (maps).

A log line holds the counts of the experts of one rank and layer; rank r holds positions r*n to r*n + n - 1, so a layer
needs a line of every rank. A pattern is an array of 0 and 1, [device, layer, expert].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.arrays import raise_if_any, to_array
from planner.exchange.content import decode, read_bytes
from planner.exchange.csv_loads import read_delimited
from planner.exchange.load_checks import MOST_EXPERTS, RawLoad, is_pattern, ranges

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LINE = re.compile(
    r"\[dump activation\]\s*(?P<mode>\w*)\s*step\s+(?P<step>\d+)\s+in rank\s+(?P<rank>\d+)\s+for layer\s+(?P<layer>\d+)"
    r"\s+get\s+(?P<width>\d+)\s+experts data:(?P<counts>.*)"
)
_RANK_FILE = re.compile(r"activation_counts_recordstep_.*_rank_(\d+)\.txt")


def is_activation_log(text: str) -> bool:
    """Whether text has lines of an activation dump."""
    return "[dump activation]" in text


def read_activation_log(text: str, file: str) -> RawLoad:
    """Join the ranks of every layer and sum over steps, shape [layer, expert].

    Raises
    ------
    InstanceError
        If a line is damaged, ranks hold unequal numbers of experts, or a layer lacks the line of a rank.
    """
    counts: dict[tuple[int, int], NDArray[np.float64]] = {}
    modes, steps = set(), set()
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if "[dump activation]" not in line:
            continue
        match = _LINE.search(line)
        values = match["counts"].split() if match else []
        if match is None or len(values) != int(match["width"]) or not all(map(str.isdecimal, values)):
            problems.append(Problem(file, f"line {number}", "is not a whole activation line", "copy the log again"))
            continue
        at = int(match["layer"]), int(match["rank"])
        row = np.array(values, dtype=float)
        if len(counts.get(at, row)) != len(row) or max(at) > MOST_EXPERTS:
            problems.append(Problem(file, f"line {number}", "disagrees with earlier lines", "give one recording"))
            continue
        counts[at] = counts[at] + row if at in counts else row
        modes.add(match["mode"])
        steps.add((match["mode"], match["step"]))
    raise_if_any(problems, file, "")
    table = _join_ranks(counts, file)
    warnings = []
    if len(modes) > 1:
        warnings.append(f"lines of {' and '.join(sorted(modes))} are summed: one plan for both phases")
    if len(steps) == 1:
        warnings.append("holds one step only: plan on more steps, or the plan follows the noise of one batch")
    return RawLoad(table, "lines", "omni-infer activation log", warnings, axes_known=True)


def _join_ranks(counts: dict[tuple[int, int], NDArray[np.float64]], file: str) -> NDArray[np.float64]:
    """Table [layer, expert] from the counts of (layer, rank); every layer needs every rank."""
    layers, ranks = ({at[axis] for at in counts} for axis in (0, 1))
    if len({len(row) for row in counts.values()}) > 1:
        raise InstanceError.single(file, "", "ranks hold unequal numbers of experts", "give one recording")
    problems = []
    for layer in sorted(layers):
        absent = np.array([rank for rank in range(max(ranks) + 1) if (layer, rank) not in counts])
        if len(absent):
            message = f"the counts of rank {ranges(absent)} are missing"
            problems.append(Problem(file, f"layer {layer}", message, "give the lines of all ranks"))
    raise_if_any(problems, file, "")
    width = len(next(iter(counts.values())))
    table = np.zeros((max(layers) + 1, width * (max(ranks) + 1)))
    for (layer, rank), row in counts.items():
        table[layer, rank * width : (rank + 1) * width] = row
    return table


def is_rank_folder(folder: Path) -> bool:
    """Whether a folder holds count files of this form."""
    return any(_RANK_FILE.fullmatch(entry.name) for entry in folder.iterdir())


def read_rank_folder(folder: Path) -> RawLoad:
    """Join ``activation_counts_recordstep_*_rank_<r>.txt``, each [layer, experts of the rank]; steps are summed.

    Raises
    ------
    InstanceError
        If a file is damaged or a rank has none.
    """
    counts: dict[tuple[int, int], NDArray[np.float64]] = {}
    for path in sorted(folder.iterdir()):
        match = _RANK_FILE.fullmatch(path.name)
        if match is None:
            continue
        table = np.asarray(read_delimited(decode(read_bytes(path), str(path)), str(path)).table, dtype=float)
        for layer, row in enumerate(table):
            at = layer, int(match[1])
            if len(counts.get(at, row)) != len(row):
                raise InstanceError.single(str(path), "", "disagrees with earlier files", "give one recording")
            counts[at] = counts[at] + row if at in counts else row
    return RawLoad(_join_ranks(counts, str(folder)), "rows", "omni-infer count files", axes_known=True)


def is_pattern_text(text: str) -> bool:
    """Whether text begins with three sizes and goes on with 0 and 1 only."""
    sizes, _, rest = text.lstrip().partition("\n")
    return re.fullmatch(r"\s*\d+\s+\d+\s+\d+\s*", sizes) is not None and not set(rest) - set("01 \t\r\n,[]")


def read_pattern_text(text: str, file: str) -> NDArray[Any]:
    """Read a printed pattern: its three sizes, then the entries in order.

    Raises
    ------
    InstanceError
        If the entries do not fill the sizes.
    """
    head, _, rest = text.lstrip().partition("\n")
    shape = tuple(map(int, head.split()))
    entries = re.sub(r"[,\[\]]", " ", rest).split()
    if len(entries) != np.prod([float(size) for size in shape]):
        message = f"has {len(entries)} entries, its sizes {list(shape)} ask for another number"
        raise InstanceError.single(file, "", message, "copy the file again")
    return np.array(entries, dtype=np.int64).reshape(shape)


def map_of_pattern(pattern: NDArray[Any], file: str) -> tuple[NDArray[np.int64], int, list[str]]:
    """Turn a pattern [device, layer, expert] into a map.

    Returns
    -------
    map, shape [layer, slot]
        Rank-major; devices with fewer experts than others have empty slots, -1.
    devices
        Their number.
    warnings
        What a person should know.

    Raises
    ------
    InstanceError
        If it is not an array of 0 and 1 in three axes.
    """
    table = to_array(pattern, file, "pattern")
    if table.ndim != 3 or 0 in table.shape or not is_pattern(table):
        message = f"has shape {list(table.shape)}, expected 0 and 1 as [device, layer, expert]"
        raise InstanceError.single(file, "pattern", message, "give a placement pattern")
    warnings = []
    if not table.any(axis=0).all() and table.any(axis=1).all():
        table = table.swapaxes(0, 1)
        warnings.append("read as [layer, device, expert]: so every expert has a copy")
    held = table.sum(axis=2).astype(np.int64)
    devices, layers, _ = table.shape
    width = int(held.max())
    placed = np.full((layers, devices, width), -1, dtype=np.int64)
    for device, layer in np.ndindex(devices, layers):
        placed[layer, device, : held[device, layer]] = np.flatnonzero(table[device, layer])
    if held.min() < width:
        warnings.append(f"devices hold {held.min()} to {width} experts in a layer: empty slots are -1")
    return placed.reshape(layers, -1), devices, warnings
