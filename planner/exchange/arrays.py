"""Nested lists to arrays, with every irregular row and every entry that is no number named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPORTED = 10
"""Bad values named one by one before the rest is only counted."""

LARGEST_COUNT = 1e18
"""Tokens of one expert beyond any recording."""

DEEPEST = 6
"""Axes beyond any table."""

MOST_NUMBERS = 100_000_000
"""Numbers of a table beyond any recording."""


def raise_if_any(problems: list[Problem], file: str, key: str) -> None:
    """Raise all problems as one error; a flood is cut to ``REPORTED`` and a count."""
    if len(problems) > REPORTED:
        problems[REPORTED:] = [Problem(file, key, f"and {len(problems) - REPORTED} more of these")]
    if problems:
        raise InstanceError(problems)


def to_array(value: object, file: str, key: str) -> NDArray[Any]:
    """Turn an array or nested lists of numbers into an array.

    Raises
    ------
    InstanceError
        If rows differ in length, or an entry is no number.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iuf":
            raise InstanceError.single(file, key, f"holds {value.dtype}, not numbers", "give token counts")
        return value
    if isinstance(value, list) and any(isinstance(entry, np.ndarray) for entry in value):
        value = [entry.tolist() if isinstance(entry, np.ndarray) else entry for entry in value]
    return _from_lists(value, file, key)


def _from_lists(value: object, file: str, key: str) -> NDArray[Any]:
    lengths: dict[int, int] = {}
    problems: list[Problem] = []

    def visit(node: object, depth: int, place: str) -> None:
        if not isinstance(node, list):
            if isinstance(node, bool) or not isinstance(node, (int, float)):
                problems.append(Problem(file, place, f"{str(node)[:40]!r} is not a number", "give a token count"))
            elif LARGEST_COUNT < node < np.inf:  # before NumPy, whose floats end sooner than Python's integers
                problems.append(Problem(file, place, "is larger than any token count", "give a token count"))
            elif depth != len(lengths):
                problems.append(Problem(file, place, "a number stands where a list is expected", "make rows equal"))
            return
        if lengths.setdefault(depth, len(node)) != len(node):
            message = f"has {len(node)} entries, earlier rows have {lengths[depth]}"
            problems.append(Problem(file, place, message, "make all rows equally long"))
            return
        if depth == DEEPEST or np.prod([float(length) for length in lengths.values()]) > MOST_NUMBERS:
            raise InstanceError.single(file, key, "is nested too deeply or too large for a table", "give one table")
        plain = bool(node) and set(map(type, node)) <= {int, float} and depth + 1 == len(lengths)
        if plain and not any(LARGEST_COUNT < entry < np.inf for entry in (min(node), max(node))):
            return  # a row of numbers, told at C speed: recordings of a thousand steps have millions of them
        for index, entry in enumerate(node):
            visit(entry, depth + 1, f"{place}[{index}]")

    if not isinstance(value, list):
        raise InstanceError.single(file, key, "is not a list", "give a list of layers, each a list of token counts")
    visit(value, 0, key)
    raise_if_any(problems, file, key)
    try:
        return np.array(value, dtype=float)
    except (ValueError, OverflowError) as error:
        message = "mixes numbers and lists in a row, or holds a number beyond any count"
        raise InstanceError.single(file, key, message, "make rows equal") from error


def whole_numbers(table: NDArray[Any], file: str, key: str, what: str = "expert ids") -> NDArray[np.int64]:
    """Return the table as integers.

    Raises
    ------
    InstanceError
        If an entry is not a whole number of at most 32 bits.
    """
    numbers = np.asarray(table, dtype=float)
    if not (np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all() and (abs(numbers) < 2**31).all()):
        raise InstanceError.single(file, key, f"holds numbers that are not {what}", f"give whole numbers: {what}")
    return np.asarray(numbers, dtype=np.int64)
