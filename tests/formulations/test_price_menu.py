"""Tiers and prices of a menu: enumeration, closed forms, the recorded relaxation, and no request below cost."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from menu_cases import bins, case_of, floor_usd, input_by_token, output_by_token

from formulations import get
from formulations.price_menu import PriceMenuProblem
from planner.costs.menu import PriceGrid, RequestCosts
from planner.costs.menu_offers import Demand, MenuTabulator, Service
from planner.errors import InstanceError, NoPlanFound
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.studies.price_menu import draw_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from formulations.price_menu import Aim
    from planner.costs.menu_offers import Offers
    from planner.instance.menu_case import MenuCase

EXACT = SolveOptions(gap=0.0)
LARGE = 1e12
AIMS: tuple[Aim, ...] = ("distortion", "mean", "margin")


def solved(offers: Offers, tiers: int, aim: Aim = "distortion") -> float:
    """Optimum of an aim over the offers."""
    value = offers.margin_usd if aim == "margin" else offers.charge_usd
    problem = PriceMenuProblem(
        offers.bins,
        tiers,
        offers.first,
        offers.last,
        offers.group,
        offers.worst,
        value,
        aim,
    )
    result = solve_pyomo(get("price_menu").build(problem).model, EXACT)
    assert result.objective is not None
    assert result.bound == pytest.approx(result.objective, rel=1e-6)
    return result.objective


def talk_offers(edges: np.ndarray) -> Offers:
    """Offers of the talk's curve, max(1, L / 200k), for answers of one token."""
    usual = np.ones(len(edges))
    demand = Demand(np.array([1.0, *(edges[:-1] + 1)]), edges, edges, usual, usual, usual * np.inf, 1.0, 1.0)
    costs, grid = RequestCosts(1.0, 200_000.0), PriceGrid(1.0, ratio=1.0005)
    return MenuTabulator(costs, demand, grid, (Service("standard", 1.0, LARGE),)).offers()


@pytest.mark.parametrize(("tiers", "closed"), [(1, 5.0), (2, math.sqrt(5)), (3, 5 ** (1 / 3)), (4, 5**0.25)])
def test_tiers_of_the_talk(tiers: int, closed: float) -> None:
    """Cost max(1, L/200k) up to 1M: K tiers over-charge by 5^(1/K) at best, thresholds in geometric steps.

    Bins that hold those thresholds: 12 equal ratios of 5^(1/12) between 200k and 1M.
    """
    offers = talk_offers(np.round(200_000 * 5 ** (np.arange(13) / 12)))
    assert solved(offers, tiers) == pytest.approx(closed, rel=1e-3)


def test_one_price_without_a_step_is_five_floors() -> None:
    """C18: one price that loses nothing up to 1M is five times the floor; a step at 200k spares short prompts all."""
    offers = talk_offers(np.array([200_000.0, 1_000_000.0]))
    whole = (offers.first == 0) & (offers.last == 1)
    assert offers.prices[whole, 1] == pytest.approx([5.0], rel=1e-3)
    short = (offers.first == 0) & (offers.last == 0)
    assert offers.prices[short, 1] == pytest.approx([1.0], rel=1e-3)


def cuts(count: int, tiers: int) -> Iterator[list[tuple[int, int]]]:
    """Every way to cut ``count`` bins into at most ``tiers`` ranges."""
    for size in range(tiers):
        for inner in itertools.combinations(range(1, count), size):
            ends = [0, *inner, count]
            yield [(first, last - 1) for first, last in itertools.pairwise(ends)]


def listed_optimum(case: MenuCase, aim: Aim) -> float:
    """Best over every cut and every pair of prices of the ladder, each request priced token by token."""
    floor, ratio, answers = floor_usd(case), case.grid.ratio or 0.0, (case.answers.least, case.answers.most)
    ladder = [floor * ratio**rung for rung in range(-14, 60)]
    edges = [0, *(entry.up_to_tokens for entry in case.bins)]
    batch, each = case.services.batch_over_balance, case.each_price_covers or aim == "margin"

    def of_tier(first: int, last: int) -> float:
        best = math.inf if aim == "distortion" else -math.inf
        points = []
        for at in range(first, last + 1):
            for length in (edges[at] + 1, edges[at + 1]):
                read = input_by_token(case, length)
                written = [(answer, output_by_token(case, length, answer, batch)) for answer in answers]
                if case.each_price_covers:
                    points += [(length, 0, read), *((0, answer, usd) for answer, usd in written)]
                else:
                    points += [(length, answer, read + usd) for answer, usd in written]
        usual = []
        for at in range(first, last + 1):
            entry, middle = case.bins[at], (edges[at] + 1 + edges[at + 1]) / 2
            usd = input_by_token(case, round(middle)) + output_by_token(case, middle, int(entry.output_tokens), batch)
            usual.append((middle, entry.output_tokens, usd, entry.requests_per_s, entry.reservation_usd or math.inf))
        units = (
            [input_by_token(case, length) / length for length in (edges[first] + 1, edges[last + 1])],
            [
                output_by_token(case, edges[first] + 1, answers[0], batch) / answers[0],
                output_by_token(case, edges[last + 1], answers[1], batch) / answers[1],
            ],
        )
        near = [[price for price in ladder if each or unit[0] / 10 <= price < 10 * unit[1] * ratio] for unit in units]
        for one, two in itertools.product(*near):
            ratios = [(one * read + two * written) / usd for read, written, usd in points]
            if min(ratios) < 1 - 1e-6:
                continue
            if aim == "distortion":
                best = min(best, max(ratios))
            else:
                bills = [(one * read + two * out, usd, rate, worth) for read, out, usd, rate, worth in usual]
                best = max(best, sum(rate * (bill - usd) for bill, usd, rate, worth in bills if bill <= worth))
        return best

    tier = {pair: of_tier(*pair) for pair in itertools.combinations_with_replacement(range(len(case.bins)), 2)}
    totals = [[tier[pair] for pair in cut] for cut in cuts(len(case.bins), case.tiers)]
    return min(map(max, totals)) if aim == "distortion" else max(map(sum, totals))


WORTH = [{"reservation_usd": usd} for usd in (1e-3, 0.05, 0.2)]


@pytest.mark.parametrize("aim", ["distortion", "margin"])
@pytest.mark.parametrize("tiers", [1, 2, 3])
@pytest.mark.parametrize("each", [True, False])
def test_equal_to_the_listed_optimum(aim: Aim, tiers: int, *, each: bool) -> None:
    """Three bins, every cut and up to 74 x 74 price pairs listed: the same over-charge and the same margin."""
    rows = [entry | worth for entry, worth in zip(case_of().model_dump()["bins"], WORTH, strict=True)]
    case = case_of(tiers=tiers, bins=rows, each_price_covers=each)
    menu = draw_up(case, aim)
    assert menu.result.objective == pytest.approx(listed_optimum(case, aim), rel=1e-4)
    assert menu.result.gap == pytest.approx(0.0, abs=1e-9)


# Of the small menu with two tiers: a change may lift the first, never lower it; the second may fall, never rise.
RECORDED = {"distortion": 1.95312, "margin": 0.271775}


def relaxed(aim: Aim) -> tuple[float, float]:
    """Relaxation and optimum of an aim on the small menu."""
    rows = [entry | worth for entry, worth in zip(case_of().model_dump()["bins"], WORTH, strict=True)]
    menu = draw_up(case_of(bins=rows), aim)
    offers = menu.offers
    value = offers.margin_usd if aim == "margin" else offers.charge_usd
    problem = PriceMenuProblem(
        offers.bins,
        2,
        offers.first,
        offers.last,
        offers.group,
        offers.worst,
        value,
        aim,
    )
    compiled = compile_pyomo(get("price_menu").build(problem).model)
    bound = solve_lp_relaxation(compiled.matrix).objective
    assert bound is not None
    assert menu.result.objective is not None
    return (-bound if compiled.maximise else bound), menu.result.objective


def test_relaxation_of_the_distortion() -> None:
    """At least what was recorded, at most the optimum, which it equals here."""
    bound, optimum = relaxed("distortion")
    assert RECORDED["distortion"] - 1e-3 <= bound <= optimum * (1 + 1e-9)


def test_relaxation_of_the_margin_is_the_optimum() -> None:
    """Ranges that follow each other are a path: only the number of tiers could make the relaxation loose."""
    bound, optimum = relaxed("margin")
    assert optimum * (1 - 1e-9) <= bound <= RECORDED["margin"] + 1e-6


@given(
    edges=st.lists(st.integers(2, 1_000_000), min_size=1, max_size=5, unique=True).map(sorted),
    seed=st.integers(0, 2**32 - 1),
    each=st.booleans(),
    batch=st.floats(0.2, 3.0),
)
@settings(max_examples=25, deadline=None)
def test_no_request_is_sold_below_cost(edges: list[int], seed: int, batch: float, *, each: bool) -> None:
    """Any histogram, aim and service: requests drawn anywhere in the bins pay at least their tokens one by one."""
    draw = np.random.default_rng(seed)
    aim = AIMS[int(draw.integers(3))]
    rates, worth = draw.uniform(0.1, 5.0, len(edges)), draw.uniform(1e-4, 0.1, len(edges))
    services = {
        "batch_over_balance": batch,
        "fast": {"share": 0.1, "speed_ratio": 1.02} if batch > 1.1 else None,
        "batch": {"deferrable_share": 0.2},
    }
    case = case_of(
        bins=bins(edges, rates.tolist(), 20.0, worth.tolist()),
        tiers=int(draw.integers(1, len(edges) + 1)),
        services=services,
        each_price_covers=each,
        day={"mean": 10.0, "peak": 13.0, "running_share": 0.1},
        grid={"ratio": 1.3} if aim == "margin" or draw.random() < 0.5 else {"coin_usd_per_mtok": 0.05},
        machine={"hardware": "nvl72_nominal", "usd_per_gpu_hour": 2.0, "gpus": 1000},
    )
    menu = draw_up(case, aim)
    table, offers = menu.inputs.tabulator, menu.offers
    starts = [0, *edges]
    for _ in range(20):
        at = int(draw.integers(len(edges)))
        prompt, answer = int(draw.integers(starts[at] + 1, edges[at] + 1)), int(draw.integers(2, 61))
        for offer in menu.chosen:
            if offers.first[offer] <= at <= offers.last[offer]:
                service = table.services[offers.group[offer]]
                usd = input_by_token(case, prompt) + output_by_token(case, prompt, answer, service.batch)
                paid = offers.prices[offer] @ (prompt, answer)
                assert paid >= usd * service.capacity_factor * (1 - 1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_more_tiers_distort_less(seed: int) -> None:
    """The worst over-charge never rises with the number of tiers, and the margin never falls."""
    draw = np.random.default_rng(seed)
    edges = np.cumsum(draw.integers(1000, 300_000, 6)).tolist()
    rows = bins(edges, draw.uniform(0, 3, 6).tolist(), 20.0, draw.uniform(0.001, 0.1, 6).tolist())
    worst = [draw_up(case_of(bins=rows, tiers=tiers), "distortion").result.objective for tiers in range(1, 7)]
    margin = [draw_up(case_of(bins=rows, tiers=tiers), "margin").result.objective for tiers in range(1, 7)]
    assert all(more <= fewer * (1 + 1e-9) for fewer, more in itertools.pairwise(worst))
    assert all(more >= fewer * (1 - 1e-9) for fewer, more in itertools.pairwise(margin))


def test_a_limit_on_the_over_charge() -> None:
    """The margin under a limit keeps it and lies between none and all; a limit below the least has no menu."""
    rows = [entry | worth for entry, worth in zip(case_of().model_dump()["bins"], WORTH, strict=True)]
    case = case_of(bins=rows)
    least, free = draw_up(case, "distortion"), draw_up(case, "margin")
    limit = 1.5 * least.worst
    held = draw_up(case, "margin", limit)
    assert held.worst <= limit < free.worst
    assert held.result.objective is not None
    assert free.result.objective is not None
    assert 0 < held.result.objective < free.result.objective
    with pytest.raises(NoPlanFound, match="no menu of 2 tiers"):
        draw_up(case, "distortion", least.worst * 0.99)


def test_bad_problems_name_every_fault() -> None:
    """Prices below cost, ranges outside the bins and too many tiers come at once."""
    with pytest.raises(InstanceError) as caught:
        PriceMenuProblem(1, 2, np.array([0]), np.array([1]), np.array([0]), np.array([0.9]), np.array([np.nan]))
    assert {entry.key for entry in caught.value.problems} == {"tiers", "first, last", "worst", "value"}
