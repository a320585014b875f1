"""How many of an expert's tokens each of its copies takes, the copies being where they are.

min   T
s.t.  sum_g tokens[e, g] = w_e, over the GPUs g that hold e;
      sum_e tokens[e, g] <= s_g T;      tokens >= 0.

What an engine reaches that splits tokens by a linear program (SGLang's ``lp`` dispatch) instead of evenly. This is the
program to read; `planner.strategies.token_split` solves the same one some hundred times faster, built once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from formulations.placement_problem import BoolArray, FloatArray

_LARGEST = 1_000_000  # columns


@dataclass(frozen=True, eq=False)
class TokenSplitProblem:
    """One layer's tokens and the copies that may take them.

    Parameters
    ----------
    load
        Tokens, shape [expert].
    held
        Which GPU holds which expert, shape [expert, gpu].
    speed
        Relative speed, shape [gpu].

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    """

    load: FloatArray
    held: BoolArray
    speed: FloatArray

    def __post_init__(self) -> None:
        experts, gpus = len(self.load), len(self.speed)
        load, speed, held = np.asarray(self.load), np.asarray(self.speed), np.asarray(self.held)
        rules = (
            ("load", load.ndim == 1 and bool((np.isfinite(load) & (load >= 0)).all()), "numbers of at least 0"),
            ("speed", bool((np.isfinite(speed) & (speed > 0)).all()), "positive numbers"),
            ("held", held.shape == (experts, gpus) and bool(held.any(axis=1).all()), "a copy of every expert"),
        )
        problems = [Problem("token split", key, f"must be {rule}") for key, holds, rule in rules if not holds]
        if problems:
            raise InstanceError(problems)

    @property
    def unit_load(self) -> float:
        """Tokens per unit of speed if all were level: the scale that brings rows to about 1."""
        return float(self.load.sum() / self.speed.sum()) or 1.0


@dataclass(frozen=True)
class TokenSplit:
    """A linear program. ``extract`` returns the tokens, float [expert, gpu]."""

    name: str = "token_split"
    decides: str = "share of an expert's tokens for each copy"

    def supports(self, problem: TokenSplitProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        columns = int(np.asarray(problem.held).sum())
        return f"{columns} copies, at most {_LARGEST} make sense" if columns > _LARGEST else None

    def build(self, problem: TokenSplitProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        load, unit = problem.load / problem.unit_load, problem.unit_load
        copies = [(int(expert), int(gpu)) for expert, gpu in zip(*np.nonzero(problem.held), strict=True)]
        of_expert: dict[int, list[int]] = {}
        of_gpu: dict[int, list[int]] = {}
        for expert, gpu in copies:
            of_expert.setdefault(expert, []).append(gpu)
            of_gpu.setdefault(gpu, []).append(expert)
        model: Any = pyo.ConcreteModel(self.name)
        model.copies = pyo.Set(initialize=copies, dimen=2)
        model.tokens = pyo.Var(model.copies, domain=pyo.NonNegativeReals)
        model.largest = pyo.Var(domain=pyo.NonNegativeReals)
        model.all_tokens = pyo.Constraint(
            of_expert, rule=lambda m, e: sum(m.tokens[e, g] for g in of_expert[e]) == float(load[e])
        )
        model.largest_on_gpu = pyo.Constraint(
            of_gpu,
            rule=lambda m, g: sum(m.tokens[e, g] for e in of_gpu[g]) <= float(problem.speed[g]) * m.largest,
        )
        model.cost = pyo.Objective(expr=unit * model.largest, sense=pyo.minimize)
        return Built(model, lambda: _tokens(model, problem))


def _tokens(model: Any, problem: TokenSplitProblem) -> FloatArray:  # noqa: ANN401 - a Pyomo model
    tokens = np.zeros(np.asarray(problem.held).shape)
    for (expert, gpu), variable in model.tokens.items():
        tokens[expert, gpu] = variable.value * problem.unit_load
    return tokens
