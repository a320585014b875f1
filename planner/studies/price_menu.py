"""Draw up a price list: context tiers, service classes and cache prices, and how far it is from the best one.

The optimum is over every way to cut the histogram into at most K tiers and every price of the grid. Prices are then
checked against requests drawn inside the bins, priced one by one.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from formulations.price_menu import PriceMenu, PriceMenuProblem
from planner.costs.menu import speed_bought
from planner.errors import NoPlanFound, SolverError
from planner.solver.highs import solve_pyomo
from planner.solver.options import SolveOptions
from planner.studies.menu_inputs import MenuInputs, half_price_share, menu_inputs, valley_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from formulations.price_menu import Aim
    from planner.costs.menu_offers import Offers
    from planner.instance.menu_case import MenuCase
    from planner.solver.result import SolveResult

PRICE_RATIOS = (1.0, 2.0, 3.0, 6.0, 15.0, 100.0)
SHARES = (0.0, 0.05, 0.1, 0.184, 0.3)
CHECKED = 20_000
_PER_MTOK = 1e6
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Menu:
    """A price list: chosen offers by tier and group, and the proof."""

    inputs: MenuInputs
    offers: Offers
    chosen: NDArray[np.int64]
    result: SolveResult

    @property
    def worst(self) -> float:
        """Largest price over cost at any corner of a bin with demand."""
        return float(self.offers.worst[self.chosen].max())


def draw_up(case: MenuCase, aim: Aim, most_overcharge: float = float("inf"), time_limit_s: float = 60.0) -> Menu:
    """Choose tiers and prices.

    Among menus of equal worst over-charge, ``distortion`` takes the one that charges all demand least.

    Raises
    ------
    NoPlanFound
        If no menu keeps ``most_overcharge``.
    """
    frontier = aim == "distortion" or most_overcharge < float("inf")
    inputs = menu_inputs(case, seek_margin=aim == "margin", frontier=frontier)
    offers = inputs.tabulator.offers()
    options = SolveOptions(gap=0.0, time_limit_s=time_limit_s, threads=1)

    def solve(wanted: Aim, limit: float) -> tuple[NDArray[np.int64], SolveResult]:
        value = offers.margin_usd if wanted == "margin" else offers.charge_usd / _cost_usd(inputs)
        problem = PriceMenuProblem(
            offers.bins, case.tiers, offers.first, offers.last, offers.group, offers.worst, value, wanted, limit
        )
        built = PriceMenu().build(problem)
        result = solve_pyomo(built.model, options).uninterrupted()
        if not result.has_point:
            reason = (
                f"no menu of {case.tiers} tiers on this grid charges less than {limit:.4g} times the cost everywhere"
            )
            raise NoPlanFound([reason], str(result.stop_reason))
        return built.extract(), result

    chosen, result = solve(aim, most_overcharge)
    if aim == "distortion":
        limit = min(most_overcharge, float(offers.worst[chosen].max()) * (1.0 + _TIE))
        chosen, _ = solve("mean", limit)
    return Menu(inputs, offers, chosen, result)


def _cost_usd(inputs: MenuInputs) -> float:
    """USD a second that the usual requests of all bins and services cost."""
    table, demand = inputs.tabulator, inputs.tabulator.demand
    return sum(
        float(
            (
                service.share
                * demand.requests_per_s
                * table.request_usd(service, demand.mean_input, demand.mean_output)
            ).sum()
        )
        for service in table.services
    )


def price_menu(case: MenuCase, aim: Aim = "distortion", most_overcharge: float = float("inf")) -> dict[str, Any]:
    """Answer `planner menu`.

    Returns
    -------
    dict
        thresholds [tokens]; prices: one entry a tier; worst_overcharge, mean_overcharge: price over cost at the corners
        of the bins, and of all demand; margin_usd_per_hour and lost_requests_per_s; bound and gap of the aim;
        valley: share and fleet; checked: requests drawn, and the least price over cost among them.
    """
    menu = draw_up(case, aim, most_overcharge)
    table, offers, chosen = menu.inputs.tabulator, menu.offers, menu.chosen
    prices = _tiers(menu)
    per_hour = 3600.0 if aim == "margin" else 1.0
    return {
        "menu": case.name,
        "title": case.title,
        "aim": aim,
        "status": menu.result.status.value,
        "stop_reason": menu.result.stop_reason.value,
        "thresholds": [tier["up_to_tokens"] for tier in prices[:-1]],
        "prices": prices,
        "floor_usd_per_mtok": table.costs.floor_usd * _PER_MTOK,
        "kink_tokens": table.costs.kink_tokens(menu.inputs.standard.batch),
        "worst_overcharge": menu.worst,
        "mean_overcharge": float(offers.charge_usd[chosen].sum()) / _cost_usd(menu.inputs),
        "margin_usd_per_hour": 3600.0 * float(offers.margin_usd[chosen].sum()),
        "lost_requests_per_s": float(offers.lost_per_s[chosen].sum()),
        "bound": per_hour * menu.result.bound,
        "gap": menu.result.gap,
        "services": {s.name: {"share": s.share, "batch_over_balance": s.batch} for s in table.services},
        "valley": asdict(menu.inputs.valley),
        "valley_by_share": [asdict(valley_of(case, share)) for share in SHARES],
        "half_price_share": half_price_share(case),
        "fast_menu": _fast_menu(menu.inputs),
        "cache_tiers": menu.inputs.cache_places,
        "published_step": _published(case, menu.inputs),
        "checked": {"requests": CHECKED, "least_price_over_cost": check_no_loss(menu, CHECKED)},
        "warnings": _warnings(prices, [service.name for service in table.services]),
        "sources": case.sources,
    }


def _warnings(prices: list[dict[str, Any]], services: list[str]) -> list[str]:
    """Tell where callers gain by asking for another class or a longer prompt; ``services`` run from fast to slow."""
    found = []
    for faster, slower in itertools.pairwise(services):
        if any(tier[slower][side] > tier[faster][side] for tier in prices for side in ("input", "output")):
            found.append(f"{slower} is dearer than {faster} in some tier: callers would move to {faster}")
    for name in services:
        rising = [[tier[name][side] for tier in prices] for side in ("input", "output")]
        if any(later < earlier for side in rising for earlier, later in itertools.pairwise(side)):
            found.append(f"a price of {name} falls with the context: a longer prompt can cost less")
    if any(tier.get("cache_read", 0.0) > tier["standard"]["input"] for tier in prices):
        found.append("reading the cache is dearer than sending the prompt again: nobody would use it")
    return found


def _tiers(menu: Menu) -> list[dict[str, Any]]:
    """Prices of each tier, USD per million tokens, by service and cache line."""
    offers, demand = menu.offers, menu.inputs.tabulator.demand
    found: dict[int, dict[str, Any]] = {}
    for offer in menu.chosen:
        first, last = int(offers.first[offer]), int(offers.last[offer])
        start = int(demand.low_tokens[first]) - 1
        tier = found.setdefault(first, {"from_tokens": start, "up_to_tokens": int(demand.high_tokens[last])})
        name, (price, other) = offers.groups[offers.group[offer]], offers.prices[offer] * _PER_MTOK
        tier[name] = float(price) if name.startswith("cache") else {"input": float(price), "output": float(other)}
    return [found[first] for first in sorted(found)]


def check_no_loss(menu: Menu, requests: int) -> float:
    """Least price over cost among requests of any length and service inside the bins.

    Raises
    ------
    SolverError
        If one of them is sold below cost.
    """
    table, offers = menu.inputs.tabulator, menu.offers
    demand, draw = table.demand, np.random.default_rng(0)
    at = draw.integers(0, demand.bins, requests)
    lengths = np.round(draw.uniform(demand.low_tokens[at], demand.high_tokens[at]))
    answers = np.round(draw.uniform(demand.least_output, demand.most_output, requests))
    least = np.inf
    for offer in menu.chosen:
        if offers.group[offer] < len(table.services):
            service = table.services[offers.group[offer]]
            inside = (at >= offers.first[offer]) & (at <= offers.last[offer])
            paid = offers.prices[offer, 0] * lengths[inside] + offers.prices[offer, 1] * answers[inside]
            ratio = paid / table.request_usd(service, lengths[inside], answers[inside])
            least = min(least, float(ratio.min(initial=np.inf)))
    if least < 1.0 - 1e-6:
        raise SolverError(f"a request would be sold at {least:.6g} of its cost")
    return least


def _fast_menu(inputs: MenuInputs) -> list[dict[str, float]]:
    """Speed over standard that a price ratio buys at the context of the mean output token (C6, C7)."""
    share = inputs.mean_context_tokens / inputs.tabulator.costs.crossover_tokens
    batch = inputs.standard.batch
    return [{"price_ratio": c, "speed_ratio": speed_bought(batch, share, c)} for c in PRICE_RATIOS]


def _published(case: MenuCase, inputs: MenuInputs) -> dict[str, Any] | None:
    """Where a printed step breaks even, base at the floor, the least base that never loses, and the step due (C18)."""
    step, costs = case.published_step, inputs.tabulator.costs
    if step is None:
        return None
    longest, batch = float(case.bins[-1].up_to_tokens), inputs.standard.batch
    ends = (float(step.threshold_tokens), longest)
    prompt = [float(costs.input_usd(length)) / length / costs.floor_usd for length in ends]
    answer = [costs.relative_cost(length, batch) for length in ends]
    return {
        "threshold_tokens": step.threshold_tokens,
        "longest_tokens": longest,
        "output": {
            "step": step.output,
            "step_that_covers": answer[1] / answer[0],
            "break_even_tokens": costs.break_even_tokens(step.output, batch),
            "least_base_over_floor": costs.least_base(step.threshold_tokens, longest, step.output, batch),
        },
        "input": {
            "step": step.input,
            "step_that_covers": prompt[1] / prompt[0],
            "break_even_tokens": 2.0 * (step.input - 1.0) * costs.attention_tokens,
            "least_base_over_floor": max(prompt[0], prompt[1] / step.input),
        },
    }
