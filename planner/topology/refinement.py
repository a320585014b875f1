"""Colour refinement: the coarsest split of a coloured graph's nodes whose classes see the same neighbours.

Colours are compared through 64-bit mixed sums, so a collision could leave a class too coarse. Every caller therefore
verifies what it builds on the colours (``symmetry`` the permutations, ``linear_program`` the row and column sums).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from planner.topology.topology import IntArray

_Words: TypeAlias = npt.NDArray[np.uint64]


def refine(colour: IntArray, tail: IntArray, head: IntArray, label: IntArray) -> IntArray:
    """Refine node colours until nodes of one colour have equally coloured and labelled arcs in and out.

    Parameters
    ----------
    colour
        Starting colour of each node, shape [node].
    tail, head, label
        Node indices and label of each arc, shape [arc].

    Returns
    -------
    IntArray
        Colours 0, 1, ... shape [node]; a colour's number depends only on the coloured graph, not on node order.
    """
    salted = _mix(label.astype(np.uint64)), _mix(~label.astype(np.uint64))
    colour = np.unique(colour, return_inverse=True)[1]
    classes = int(colour.max()) + 1
    while True:
        words = _mix(colour.astype(np.uint64))
        seen = words.copy()
        np.add.at(seen, tail, _mix(words[head] ^ salted[0]))
        np.add.at(seen, head, _mix(words[tail] ^ salted[1]))
        refined = np.unique(seen, return_inverse=True)[1]
        count = int(refined.max()) + 1
        if count == classes:
            return colour.astype(np.int64)
        colour, classes = refined, count


def _mix(words: _Words) -> _Words:
    """Finaliser of Steele, Lea and Flood's SplitMix64 (2014): every input bit moves every output bit."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
