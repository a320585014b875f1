"""Which domain holds which expert where a token is sent to another domain once, however many of its experts are there.

min   sum_c w_c sum_r (1 - s_r) reached[c, r] / sum_c w_c
s.t.  sum_r home[e, r] = 1;    sum_e home[e, r] <= slots_r;    reached[c, r] >= home[e, r] for e of class c;
      sum_c reached[c, r] >= C(E, k) - C(E - n_r, k), n_r = E - slots of the other domains, where the classes are all
      C(E, k) sets of k experts: a domain of n_r experts is met by that many sets, whichever experts they are;
      home[0, 0] = 1 where all domains are alike.
home is binary; reached stays continuous, since it is pressed onto the largest of its homes.

A class is a set of experts that tokens choose together, w_c of them; s_r is the share of tokens that start in domain r.
The counting rows make the relaxation exact where all sets are equally frequent: 16 experts, pairs, two racks then take
0.02 s, and the relaxation says .767, not .533. Source: seed claims dossier, C13 and section 9; counting rows ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from planner.errors import InstanceError, NoPlanFound, Problem

if TYPE_CHECKING:
    from formulations.placement_problem import FloatArray, IntArray

_LARGEST = 20_000  # classes times domains
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class DedupCrossingProblem:
    """One layer: what tokens choose together, and the domains.

    Parameters
    ----------
    classes
        Experts of each class, shape [class, experts_per_token], distinct in a row.
    weight
        Tokens of each class, shape [class].
    slots
        Experts that a domain holds, shape [domain].
    source_share
        Share of the tokens that start in each domain, shape [domain], sum 1.

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    NoPlanFound
        Fewer slots than experts.
    """

    classes: IntArray
    weight: FloatArray
    slots: IntArray
    source_share: FloatArray

    def __post_init__(self) -> None:
        classes, weight = np.asarray(self.classes), np.asarray(self.weight)
        slots, share = np.asarray(self.slots), np.asarray(self.source_share)
        sets = classes.ndim == 2 and classes.size > 0 and bool((classes >= 0).all())
        distinct = sets and all(len(set(row)) == len(row) for row in classes.tolist())
        shares = share.shape == slots.shape and bool((share >= 0).all()) and math.isclose(share.sum(), 1.0)
        tokens = weight.shape == classes.shape[:1] and bool((np.isfinite(weight) & (weight >= 0)).all())
        rules = (
            ("classes", distinct, "sets of distinct experts, numbered from 0"),
            ("weight", tokens and weight.sum() > 0, "a number of at least 0 for each class, not all 0"),
            ("slots", slots.ndim == 1 and slots.size > 0 and bool((slots >= 0).all()), "counts of at least 0"),
            ("source_share", shares, "a share for each domain, sum 1"),
        )
        problems = [Problem("de-duplicated sends", key, f"must be {rule}") for key, holds, rule in rules if not holds]
        if problems:
            raise InstanceError(problems)
        if slots.sum() < self.experts:
            raise NoPlanFound([f"{slots.sum()} expert slots are fewer than {self.experts} experts"])

    @property
    def experts(self) -> int:
        """Experts of the layer."""
        return int(np.max(self.classes)) + 1

    @property
    def has_every_set(self) -> bool:
        """Whether the classes are all sets of their size."""
        sets = {frozenset(row) for row in np.asarray(self.classes).tolist()}
        return len(sets) == math.comb(self.experts, np.shape(self.classes)[1]) == len(self.classes)

    def sends_per_token(self, home: IntArray) -> float:
        """Mean number of other domains that a token is sent to; ``home`` is the domain of each expert, [expert]."""
        reached = np.zeros((len(self.classes), len(self.slots)))
        np.put_along_axis(reached, np.asarray(home)[self.classes], 1.0, axis=1)
        return float(self.weight @ reached @ (1.0 - self.source_share) / np.sum(self.weight))


@dataclass(frozen=True)
class DedupCrossing:
    """``extract`` returns the domain of each expert, int [expert]."""

    name: str = "dedup_crossing"
    decides: str = "experts on domains, each domain sent to once a token"

    def supports(self, problem: DedupCrossingProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        size = len(problem.classes) * len(problem.slots)
        return f"{size} classes times domains, at most {_LARGEST} make sense" if size > _LARGEST else None

    def build(self, problem: DedupCrossingProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        classes, slots, share = problem.classes.tolist(), problem.slots, problem.source_share
        weight = problem.weight / np.sum(problem.weight)
        model: Any = pyo.ConcreteModel(self.name)
        model.experts, model.domains = pyo.RangeSet(0, problem.experts - 1), pyo.RangeSet(0, len(slots) - 1)
        model.classes = pyo.RangeSet(0, len(classes) - 1)
        model.home = pyo.Var(model.experts, model.domains, domain=pyo.Binary)
        model.reached = pyo.Var(model.classes, model.domains, bounds=(0, 1))
        model.one_home = pyo.Constraint(model.experts, rule=lambda m, e: sum(m.home[e, r] for r in m.domains) == 1)
        model.slots = pyo.Constraint(
            model.domains, rule=lambda m, r: sum(m.home[e, r] for e in m.experts) <= int(slots[r])
        )
        model.sent = pyo.Constraint(
            [(c, e, r) for c, row in enumerate(classes) for e in row for r in model.domains],
            rule=lambda m, c, e, r: m.reached[c, r] >= m.home[e, r],
        )
        _add_counting_rows(model, problem)
        if np.ptp(slots) == 0 and np.ptp(share) == 0:
            model.home[0, 0].fix(1)
        model.cost = pyo.Objective(
            expr=sum(
                float(weight[c] * (1.0 - share[r])) * model.reached[c, r] for c in model.classes for r in model.domains
            )
        )
        return Built(model, lambda: _home(model))


def _add_counting_rows(model: Any, problem: DedupCrossingProblem) -> None:  # noqa: ANN401 - a Pyomo model
    if not problem.has_every_set:
        return
    experts, drawn = problem.experts, np.shape(problem.classes)[1]
    least = [max(experts - int(np.sum(problem.slots) - own), 0) for own in problem.slots]
    model.counted = pyo.Constraint(
        model.domains,
        rule=lambda m, r: (
            sum(m.reached[c, r] for c in m.classes) >= math.comb(experts, drawn) - math.comb(experts - least[r], drawn)
        ),
    )


def _home(model: Any) -> IntArray:  # noqa: ANN401 - a Pyomo model
    return np.array(
        [next(r for r in model.domains if model.home[e, r].value > _HALF) for e in model.experts], dtype=np.int64
    )
