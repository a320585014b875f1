"""Where a price list steps up with the context, and what each tier costs, so that no request is sold below cost.

Offers o (range of bins a_o, group h_o of prices that go together, worst over-charge, charge, margin) are tabulated;
each covers the cost of every request of its range. tier_a: the bins of range a are one tier; offer_o: its prices.

sum_{a holds i} tier_a = 1 for every bin i;    sum_a tier_a <= K;    sum_{o of (a, h)} offer_o = tier_a for every a, h;
distortion: min worst,  worst >= sum_{o: a_o holds i, h_o = h} over-charge_o offer_o for every i, h
mean:       min sum_o charge_o offer_o / cost of all demand;        margin: max sum_o margin_o offer_o.

Rows of cover are consecutive ones in every column: without the limit K the tiers alone are integral. Source: seed
claims dossier, section 8, P6.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from formulations.placement_problem import FloatArray, IntArray

Aim = Literal["distortion", "mean", "margin"]

_LARGEST = 200_000  # binaries


@dataclass(frozen=True, eq=False)
class PriceMenuProblem:
    """Offers to choose from.

    Attributes
    ----------
    bins, tiers
        Bins of contexts; most tiers.
    first, last, group
        Range of bins and group of each offer, shape [offer].
    worst
        Largest price over cost anywhere in the range, shape [offer].
    value
        What the aims ``mean`` (charge over the cost of all demand, to be small) and ``margin`` (to be large) add up,
        shape [offer].
    aim
        What is best.
    most_worst
        Over-charge that no offer may pass.

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    """

    bins: int
    tiers: int
    first: IntArray
    last: IntArray
    group: IntArray
    worst: FloatArray
    value: FloatArray
    aim: Aim = "distortion"
    most_worst: float = float("inf")

    def __post_init__(self) -> None:
        first, last = np.asarray(self.first), np.asarray(self.last)
        arrays = [np.asarray(entry) for entry in (first, last, self.group, self.worst, self.value)]
        same = first.ndim == 1 and len(first) > 0 and len({entry.shape for entry in arrays}) == 1
        ordered = same and bool(((first >= 0) & (first <= last) & (last < self.bins)).all())
        rules = (
            ("tiers", 1 <= self.tiers <= self.bins, f"a whole number from 1 to the {self.bins} bins"),
            ("first, last", ordered, "ranges of the bins, one an offer"),
            ("worst", same and bool((arrays[3] >= 1).all()), "numbers of at least 1: nothing is sold below cost"),
            ("value", same and bool(np.isfinite(arrays[4]).all()), "finite numbers"),
        )
        problems = [Problem("price menu", key, f"must be {rule}") for key, holds, rule in rules if not holds]
        if problems:
            raise InstanceError(problems)

    @property
    def unit(self) -> float:
        """Scale that brings the margin to about 1."""
        return float(np.abs(self.value).max()) or 1.0


@dataclass(frozen=True)
class PriceMenu:
    """A choice of ranges and offers. ``extract`` returns the chosen offers, int [tier x group], by range and group."""

    name: str = "price_menu"
    decides: str = "context tiers of a price list and the prices of each service in them"

    def supports(self, problem: PriceMenuProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        offers = len(problem.worst)
        return f"{offers} offers, at most {_LARGEST} make sense" if offers > _LARGEST else None

    def build(self, problem: PriceMenuProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        model: Any = pyo.ConcreteModel(self.name)
        listed = [int(offer) for offer in np.flatnonzero(np.asarray(problem.worst) <= problem.most_worst)]
        ranges = [(first, last) for first in range(problem.bins) for last in range(first, problem.bins)]
        groups = sorted(set(np.asarray(problem.group).tolist()))
        of: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for offer in listed:
            of[int(problem.first[offer]), int(problem.last[offer]), int(problem.group[offer])].append(offer)
        model.ranges = pyo.Set(initialize=ranges, dimen=2)
        model.groups = pyo.Set(initialize=groups)
        model.offers = pyo.Set(initialize=listed)
        model.bins = pyo.RangeSet(0, problem.bins - 1)
        model.tier = pyo.Var(model.ranges, domain=pyo.Binary)
        model.offer = pyo.Var(model.offers, domain=pyo.Binary)
        _add_tiers(model, problem, of)
        {"distortion": _add_distortion, "mean": _add_mean, "margin": _add_margin}[problem.aim](model, problem, of)
        return Built(model, lambda: _chosen(model, problem))


def _add_tiers(model: Any, problem: PriceMenuProblem, of: dict[tuple[int, int, int], list[int]]) -> None:  # noqa: ANN401
    """Every bin lies in one tier, of at most K, and a tier has one offer of every group."""
    model.one_tier = pyo.Constraint(
        model.bins, rule=lambda m, i: sum(m.tier[a] for a in m.ranges if a[0] <= i <= a[1]) == 1
    )
    model.most_tiers = pyo.Constraint(expr=sum(model.tier.values()) <= problem.tiers)
    model.one_offer = pyo.Constraint(
        model.ranges,
        model.groups,
        rule=lambda m, first, last, group: sum(m.offer[o] for o in of[first, last, group]) == m.tier[first, last],
    )


def _add_distortion(model: Any, problem: PriceMenuProblem, of: dict[tuple[int, int, int], list[int]]) -> None:  # noqa: ANN401
    """``worst`` is at least the over-charge of the offer that each bin has, in each group."""
    model.worst = pyo.Var(bounds=(1.0, None))
    model.no_worse = pyo.Constraint(
        model.bins,
        model.groups,
        rule=lambda m, i, group: (
            sum(
                float(problem.worst[o]) * m.offer[o]
                for first, last in m.ranges
                if first <= i <= last
                for o in of[first, last, group]
            )
            <= m.worst
        ),
    )
    model.aim = pyo.Objective(expr=model.worst, sense=pyo.minimize)


def _add_mean(model: Any, problem: PriceMenuProblem, _of: dict[tuple[int, int, int], list[int]]) -> None:  # noqa: ANN401
    """Charge over cost of all demand, least."""
    model.aim = pyo.Objective(
        expr=sum(float(problem.value[o]) * model.offer[o] for o in model.offers), sense=pyo.minimize
    )


def _add_margin(model: Any, problem: PriceMenuProblem, _of: dict[tuple[int, int, int], list[int]]) -> None:  # noqa: ANN401
    """Dollars left over cost, most."""
    unit = problem.unit
    model.aim = pyo.Objective(
        expr=unit * sum(float(problem.value[o]) / unit * model.offer[o] for o in model.offers), sense=pyo.maximize
    )


def _chosen(model: Any, problem: PriceMenuProblem) -> IntArray:  # noqa: ANN401
    picked = [o for o in model.offers if model.offer[o].value > 0.5]
    picked.sort(key=lambda o: (int(problem.first[o]), int(problem.group[o])))
    return np.array(picked, dtype=np.int64)
