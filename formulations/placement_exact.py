"""Which GPU holds which expert, proven best: for tiny and small layers.

min   sum_k p_k T_k
s.t.  every expert has n >= 1 copies on distinct GPUs, no GPU holds more than its slots,
      s_g T_k >= load_kg, where tokens split evenly over copies (``PlacementExact``) or freely (``PlacementFreeSplit``).
Equal GPUs are left to the symmetry detection of HiGHS: rows that order them by load made the documented EPLB example 20
times slower (2.5 s without, over 45 s with). Symbols: FORMULATIONS, section placement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks import copies, load

if TYPE_CHECKING:
    from formulations.placement_problem import BoolArray, PlacementProblem

_LARGEST = 60_000  # binaries; HiGHS does not close a layer of this size, it only finds points in it
_HALF = 0.5


@dataclass(frozen=True)
class PlacementExact:
    """Tokens split evenly over the copies of an expert. ``extract`` returns held, bool [expert, gpu]."""

    name: str = "placement_exact"
    decides: str = "expert copies on GPUs, tokens split evenly over copies"

    def supports(self, problem: PlacementProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        if problem.source_share is not None:
            return "nearest dispatch is written by domains only: use placement_domain"
        binaries = int(problem.most_copies.sum()) * len(problem.usable_gpus)
        return f"{binaries} binaries, at most {_LARGEST} make sense" if binaries > _LARGEST else None

    def build(self, problem: PlacementProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        model = pyo.ConcreteModel(self.name)
        copies.add_copy_counts(model, problem)
        copies.add_copies_on_gpus(model, problem)
        copies.add_slots_on_gpus(model, problem)
        load.add_even_load_on_gpus(model, problem)
        load.add_largest_load_on_gpus(model, problem)
        load.add_copy_size_bound(model, problem)
        load.add_expected_largest_load(model, problem)
        return Built(model, lambda: _held(model, problem))


@dataclass(frozen=True)
class PlacementFreeSplit:
    """Tokens split over copies as is best, per scenario. ``extract`` returns held, bool [expert, gpu]."""

    name: str = "placement_free_split"
    decides: str = "expert copies on GPUs, tokens split freely over copies"

    def supports(self, problem: PlacementProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        if problem.source_share is not None:
            return "nearest dispatch leaves no free split"
        binaries = problem.experts * len(problem.usable_gpus)
        return f"{binaries} binaries, at most {_LARGEST} make sense" if binaries > _LARGEST else None

    def build(self, problem: PlacementProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        model = pyo.ConcreteModel(self.name)
        copies.add_experts_held(model, problem)
        load.add_free_load_on_gpus(model, problem)
        load.add_largest_load_on_gpus(model, problem)
        load.add_expected_largest_load(model, problem)
        return Built(model, lambda: _held(model, problem))


def _held(model: Any, problem: PlacementProblem) -> BoolArray:  # noqa: ANN401 - a Pyomo model
    """Read held [expert, gpu]; the keys of ``model.held`` start with the expert and end with the GPU."""
    held = np.zeros((problem.experts, len(problem.slots)), dtype=np.bool_)
    for key, variable in model.held.items():
        if variable.value > _HALF:
            held[key[0], key[-1]] = True
    return held
