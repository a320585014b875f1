"""Residual stacks: one that can be run backwards, as far as its number format lets it, and one that stays smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating]

FORMATS = {"fp64": np.float64, "fp32": np.float32, "fp16": np.float16}
ERROR_WORTH_A_WARNING = 1e-3
_NUDGE = 1e-6


@dataclass(frozen=True)
class Reconstruction:
    """Largest error of inputs computed back from outputs, and a warning where training would notice it."""

    number_format: str
    error: float
    warning: str | None


def weights(layers: int, width: int, seed: int) -> NDArray[np.float64]:
    """Draw layers of a random network [layer, width, width], of variance 1 / width."""
    drawn: NDArray[np.float64] = np.random.default_rng(seed).standard_normal((layers, width, width)) / np.sqrt(width)
    return drawn


def run_reversible(first: Array, second: Array, layers: Array) -> tuple[Array, Array]:
    """Map (x, y) to (y + f(x), x) with f(x) = tanh(W x), once a layer."""
    for layer in layers:
        first, second = second + np.tanh(layer @ first), first
    return first, second


def run_backwards(first: Array, second: Array, layers: Array) -> tuple[Array, Array]:
    """Undo `run_reversible` from its outputs alone: no activation was kept."""
    for layer in layers[::-1]:
        first, second = second, first - np.tanh(layer @ second)
    return first, second


def reconstruction(number_format: str, *, layers: int, width: int, seed: int) -> Reconstruction:
    """Run a reversible stack forth and back in one number format. Source of the map: Gomez et al. 2017."""
    kind = FORMATS[number_format]
    stack = weights(layers, width, seed).astype(kind)
    inputs = np.random.default_rng(seed + 1).standard_normal((2, width)).astype(kind)
    back = run_backwards(*run_reversible(inputs[0], inputs[1], stack), stack)
    error = float(np.max(np.abs(np.stack(back).astype(np.float64) - inputs.astype(np.float64))))
    warning = None
    if error > ERROR_WORTH_A_WARNING:
        warning = f"inputs come back with errors up to {error:.2g}: keep the streams in a wider format"
    return Reconstruction(number_format, error, warning)


def gain(depth: int, *, width: int, seed: int, samples: int = 64) -> float:
    """Mean change of the output over a small change of the input, residual tanh stack with branches / sqrt(depth)."""
    stack = weights(depth, width, seed)
    random = np.random.default_rng(seed + 1)
    inputs = random.standard_normal((width, samples))
    nudge = random.standard_normal((width, samples))
    nudge *= _NUDGE / np.linalg.norm(nudge, axis=0)
    change = _run_residual(inputs + nudge, stack) - _run_residual(inputs, stack)
    return float(np.mean(np.linalg.norm(change, axis=0)) / _NUDGE)


def _run_residual(values: NDArray[np.float64], stack: NDArray[np.float64]) -> NDArray[np.float64]:
    for layer in stack:
        values = values + np.tanh(layer @ values) / np.sqrt(len(stack))
    return values
