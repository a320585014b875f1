"""Every placement of a tiny layer, by brute force: the judge of bounds and searches."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt


def best_balance(load: npt.ArrayLike, gpus: int, slots: int, *, distinct: bool = False) -> float:
    """Highest mean / largest GPU load over all fillings of all slots that hold every expert; copies share evenly.

    With ``distinct`` no GPU holds an expert twice.
    """
    tokens = np.asarray(load, dtype=float)
    experts = range(len(tokens))
    choose = itertools.combinations if distinct else itertools.combinations_with_replacement
    contents = list(choose(experts, slots))
    best = 0.0
    for filling in itertools.combinations_with_replacement(contents, gpus):
        count = np.bincount(np.concatenate(filling), minlength=len(tokens))
        if (count == 0).any():
            continue
        share = tokens / count
        best = max(best, tokens.sum() / gpus / max(share[list(held)].sum() for held in filling))
    return best
