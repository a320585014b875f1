"""The one way functions are compiled here, and the random numbers the kernels use."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., object]")

RandomState = npt.NDArray[np.uint64]


def compiled(function: Function) -> Function:
    """Compile to machine code at the first call and keep the code on disk.

    The code starts no threads, so sweeps can use processes, and lets others run, so layers are searched side by side.
    """
    return cast("Function", numba.njit(cache=True, nogil=True)(function))


def random_state(seed: int, *stream: int) -> RandomState:
    """Return the state of a generator for one stream (such as a layer), shape [1]; never zero."""
    return np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint64) | np.uint64(1)


@compiled
def random_unit(state: RandomState) -> float:
    """Next number of Marsaglia's xorshift64 generator, uniform on [0, 1)."""
    value = state[0]
    value ^= value << np.uint64(13)
    value ^= value >> np.uint64(7)
    value ^= value << np.uint64(17)
    state[0] = value
    return float(value >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def random_below(state: RandomState, limit: int) -> int:
    """Return a random integer from 0 to ``limit`` - 1."""
    return int(random_unit(state) * limit)
