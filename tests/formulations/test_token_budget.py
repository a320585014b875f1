"""The certified token budget against published rows and an independent root-find."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog, minimize_scalar

from formulations import token_budget
from planner.costs import scaling
from planner.costs.scaling import SpendRates
from planner.errors import NoPlanFound
from planner.instance.law import LossLaw, load_law
from planner.solver.matrix import compile_pyomo

LAWS = ("hoffmann", "hoffmann_tex", "sardana", "besiroglu")

FIXED_QUALITY = [
    ("sardana", 1e9, 1e11, 5.28986e8, 6.06006e10, "18.2243", 0.55005),
    ("sardana", 7e9, 1e11, 5.99972e9, 3.25022e11, ".84626", 0.10256),
    ("sardana", 7e9, 1e12, 3.71060e9, 6.08762e11, "18.1017", 0.54756),
    ("sardana", 13e9, 2e12, 6.96860e9, 1.24784e12, "17.4467", 0.53426),
    ("sardana", 30e9, 1e12, 2.36274e10, 2.01348e12, "2.16638", 0.16555),
    ("sardana", 30e9, 1e13, 1.36128e10, 4.42624e12, "27.9848", 0.75309),
    ("sardana", 70e9, 2e12, 5.79223e10, 5.20282e12, "1.31323", 0.12814),
    ("sardana", 70e9, 1e13, 4.15513e10, 7.92250e12, "11.9492", 0.42074),
    ("sardana", 70e9, 1e14, 2.26845e10, 2.40730e13, "50.5072", 1.38468),
    ("besiroglu", 1e9, 1e11, 5.37923e8, 5.04177e10, "19.6026", 0.66114),
    ("besiroglu", 7e9, 1e12, 3.36848e9, 3.89954e11, "27.1461", 0.85480),
    ("besiroglu", 13e9, 2e12, 6.09791e9, 7.37033e11, "28.9568", 0.90453),
    ("besiroglu", 30e9, 1e13, 1.16206e10, 2.44878e12, "42.7100", 1.36122),
    ("besiroglu", 70e9, 2e12, 4.80984e10, 1.98898e12, "6.71305", 0.33518),
    ("besiroglu", 70e9, 1e13, 3.27651e10, 3.66797e12, "29.1085", 0.90877),
    ("besiroglu", 70e9, 1e14, 2.01704e10, 1.29149e13, "61.5097", 2.58100),
    ("hoffmann_tex", 13e9, 2e12, 7.12526e9, 1.29714e12, "16.2819", 0.51395),
    ("hoffmann_tex", 70e9, 1e14, 2.32408e10, 2.47292e13, "49.1731", 1.34793),
]
FIXED_BUDGET = [
    ("sardana", 1e22, 1e11, 5.20577e9, 2.86824e11, 2.145883, 0.1162),
    ("sardana", 1e23, 1e12, 1.11217e10, 1.16524e12, 2.019201, 0.28607),
    ("sardana", 1e24, 1e13, 1.94006e10, 5.25749e12, 1.935155, 0.63402),
    ("sardana", 1e26, 2e14, 1.17755e11, 7.48699e13, 1.816116, 0.89043),
    ("besiroglu", 1e23, 1e12, 1.49329e10, 7.82770e11, 2.049677, 0.42584),
    ("besiroglu", 1e24, 1e13, 2.51488e10, 3.29388e12, 1.988529, 1.01198),
    ("besiroglu", 1e26, 2e14, 1.56057e11, 4.01316e13, 1.900895, 1.66120),
]
EQUAL_SPEND = [
    ("sardana", 1e12, 1.04145e9, 320.07, 2.294529),
    ("sardana", 1e13, 7.24270e9, 460.23, 2.005077),
    ("sardana", 2e14, 9.03043e10, 738.24, 1.824966),
    ("hoffmann_tex", 2e14, 8.57739e10, 777.24, 1.820224),
    ("besiroglu", 1e12, 2.29964e9, 144.95, 2.211639),
    ("besiroglu", 1e13, 2.59068e10, 128.67, 1.987095),
    ("besiroglu", 2e14, 6.05030e11, 110.19, 1.873989),
]


def serving(inference_tokens: float, penalty: float = 1.0) -> SpendRates:
    """6 N D + 2 penalty N T."""
    return SpendRates(per_token=6.0, serving=2.0 * penalty * inference_tokens)


def matched_loss(law: LossLaw, params: float) -> float:
    """Loss of the law's own optimum for a size, at full precision."""
    return scaling.loss(law, params, scaling.law_optimal_tokens(law, params))


def root_of_sardana(law: LossLaw, target: float, equivalent_tokens: float) -> tuple[float, float, float]:
    """N, D and FLOP from the one equation in D of Sardana et al. (arXiv 2401.00448), X = T / 3, by Brent's method."""
    e, a, alpha = law.irreducible_loss, law.params_coefficient, law.params_exponent
    b, beta = law.tokens_coefficient, law.tokens_exponent

    def equation(log_tokens: float) -> float:
        d = math.exp(log_tokens)
        return (beta * b / alpha + b) * d**-beta + beta * b * equivalent_tokens / alpha * d ** (-beta - 1) + e - target

    d = math.exp(brentq(equation, math.log(1e6), math.log(1e22), xtol=1e-14, rtol=1e-15))
    n = (a / (target - e - b * d**-beta)) ** (1 / alpha)
    return n, d, 6 * n * (d + equivalent_tokens)


@pytest.mark.parametrize(("law_name", "quality", "served", "params", "tokens", "saving", "ratio"), FIXED_QUALITY)
def test_fixed_quality_rows(
    law_name: str, quality: float, served: float, params: float, tokens: float, saving: str, ratio: float
) -> None:
    """Each row of section 1.2: N and D to 1e-3, the saving to its last digit, cost to 1e-6 of an independent root."""
    law = load_law(law_name)
    target = matched_loss(law, quality)
    rates = serving(served)
    solution = token_budget.solve(token_budget.cheapest(law, rates, target))
    cost = rates.total(solution.params, solution.tokens)
    assert (solution.params, solution.tokens) == pytest.approx((params, tokens), rel=1e-3)
    assert cost == pytest.approx(root_of_sardana(law, target, served / 3)[2], rel=1e-6)
    assert 100 * (1 - cost / rates.total(quality, scaling.law_optimal_tokens(law, quality))) == pytest.approx(
        float(saving), abs=0.6 * 10.0 ** -len(saving.partition(".")[2])
    )
    assert served / 3 / solution.tokens == pytest.approx(ratio, rel=1e-4)
    assert solution.log_gap <= 1e-6
    assert scaling.loss(law, solution.params, solution.tokens) == pytest.approx(target, rel=1e-12)


@pytest.mark.parametrize(("law_name", "budget", "served", "params", "tokens", "loss", "ratio"), FIXED_BUDGET)
def test_fixed_budget_rows(
    law_name: str, budget: float, served: float, params: float, tokens: float, loss: float, ratio: float
) -> None:
    """Each fixed-budget row of section 1.2, the loss also against a bounded one-dimensional minimisation."""
    law, rates = load_law(law_name), serving(served)
    solution = token_budget.solve(token_budget.best_quality(law, rates, budget))
    reached = scaling.loss(law, solution.params, solution.tokens)
    assert (solution.params, solution.tokens) == pytest.approx((params, tokens), rel=1e-3)
    assert reached == pytest.approx(loss, abs=6e-7)
    assert served / 3 / solution.tokens == pytest.approx(ratio, rel=2e-4)
    assert rates.total(solution.params, solution.tokens) == pytest.approx(budget, rel=1e-12)

    def along_budget(log_tokens: float) -> float:
        d = math.exp(log_tokens)
        return scaling.loss(law, budget / (6 * d + 2 * served), d)

    least = minimize_scalar(along_budget, bounds=(math.log(1e9), math.log(1e16)), method="bounded").fun
    assert reached == pytest.approx(least, rel=1e-9)
    assert law.irreducible_loss + math.exp(solution.ln_bound) <= least * (1 + 1e-12)


@pytest.mark.parametrize("law_name", LAWS)
@pytest.mark.parametrize("budget", [5e18, 5.76e23, 1e26])
def test_no_demand_is_compute_optimal_training(law_name: str, budget: float) -> None:
    """With nothing to serve both forms of the program give the closed-form compute optimum."""
    law = load_law(law_name)
    closed = scaling.compute_optimal(law, budget)
    by_budget = token_budget.solve(token_budget.best_quality(law, serving(0), budget))
    by_loss = token_budget.solve(token_budget.cheapest(law, serving(0), scaling.loss(law, *closed)))
    assert (by_budget.params, by_budget.tokens) == pytest.approx(closed, rel=1e-6)
    assert (by_loss.params, by_loss.tokens) == pytest.approx(closed, rel=1e-6)
    assert math.exp(by_loss.ln_objective) == pytest.approx(budget, rel=1e-9)


@pytest.mark.parametrize(
    ("law_name", "params", "tokens"), [("hoffmann", 1.667e8, 4.999e9), ("besiroglu", 1.838e8, 4.535e9)]
)
def test_one_workstation_gpu_for_a_day(law_name: str, params: float, tokens: float) -> None:
    """BR91: one RTX A4000 for a day, 5e18 FLOP."""
    solution = token_budget.solve(token_budget.best_quality(load_law(law_name), serving(0), 5e18))
    assert (solution.params, solution.tokens) == pytest.approx((params, tokens), rel=1e-3)


def test_published_case_of_sardana() -> None:
    """L = 1.947, T = 2e12: the authors' code prints N 24183560851.5, D 2657051393483.6."""
    solution = token_budget.solve(token_budget.cheapest(load_law("sardana"), serving(2e12), 1.947))
    assert (solution.params, solution.tokens) == pytest.approx((24183560851.5, 2657051393483.6), rel=1e-5)


def test_published_money_case_of_sardana() -> None:
    """Their dollars make 1.25e13 served tokens worth X = 1.33929e12 training tokens: N 2.053e10, D 3.302e12."""
    train = 1.40 / 3600 / (312e12 * 0.5)
    prefill, decode = 0.60 / 3600 / (624e12 * 0.4), 0.60 / 3600 / (624e12 * 0.2)
    spent = 2 * 1e10 * (1000 * prefill + 250 * decode)
    rates = SpendRates(per_token=6 * train, serving=spent)
    assert spent / (6 * train) == pytest.approx(1.33929e12, rel=1e-5)
    solution = token_budget.solve(token_budget.cheapest(load_law("sardana"), rates, 1.947))
    assert (solution.params, solution.tokens) == pytest.approx((2.053e10, 3.302e12), rel=1e-3)


@pytest.mark.parametrize(("law_name", "served", "params", "ratio", "loss"), EQUAL_SPEND)
def test_the_one_size_where_equal_spend_is_optimal(
    law_name: str, served: float, params: float, ratio: float, loss: float
) -> None:
    """Section 2.4: for each T the optimum at this loss spends as much on serving as on pre-training."""
    law = load_law(law_name)
    exact = scaling.loss(law, params, served / 3)
    assert exact == pytest.approx(loss, abs=6e-7)
    solution = token_budget.solve(token_budget.cheapest(law, serving(served), exact))
    assert served / 3 / solution.tokens == pytest.approx(1.0, rel=1e-4)
    assert solution.tokens / solution.params == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("law_name", LAWS)
@pytest.mark.parametrize("served", [1e11, 1e13, 1e15])
def test_overtraining_identity_at_the_optimum(law_name: str, served: float) -> None:
    """D over the law's own optimum is (1 + r)^(1/beta) at every optimum, to 1e-9 (section 2.4)."""
    law = load_law(law_name)
    solution = token_budget.solve(token_budget.cheapest(law, serving(served), matched_loss(law, 30e9)))
    overtraining = solution.tokens / scaling.law_optimal_tokens(law, solution.params)
    assert overtraining == pytest.approx((1 + served / 3 / solution.tokens) ** (1 / law.tokens_exponent), rel=1e-9)


def test_the_relaxation_at_five_tangents_is_a_bound_by_another_solver() -> None:
    """The written program, solved by SciPy, bounds the optimum from below, within 1e-2 with five points."""
    law, rates = load_law("sardana"), serving(2e12)
    program = token_budget.cheapest(law, rates, matched_loss(law, 13e9))
    points = [(program.start[0] - 0.25 * k, program.start[1] + 0.25 * k) for k in range(5)]
    arrays = compile_pyomo(token_budget.build(program, points)).matrix
    box = np.column_stack([arrays.column_lower, arrays.column_upper])
    answer = linprog(arrays.cost, A_ub=arrays.matrix, b_ub=arrays.row_upper, bounds=box)
    optimum = math.log(root_of_sardana(law, matched_loss(law, 13e9), 2e12 / 3)[2])
    bound = program.objective.value(program.start) + answer.fun + arrays.offset
    assert optimum - 1e-2 <= bound <= optimum + 1e-9


def test_cuts_alone_close_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the search along the limit, cutting planes still certify 1e-6, in a dozen rounds as the prototype did."""
    monkeypatch.setattr(token_budget, "descend", lambda program: program.start)
    law, rates = load_law("sardana"), serving(2e12)
    solution = token_budget.solve(token_budget.cheapest(law, rates, matched_loss(law, 13e9)))
    exact = root_of_sardana(law, matched_loss(law, 13e9), 2e12 / 3)[2]
    assert 2 <= solution.rounds <= 20
    assert solution.log_gap <= 1e-6
    assert solution.ln_bound <= math.log(exact) + 1e-12 <= solution.ln_objective + 2e-12


def test_a_loss_at_the_floor_has_no_plan() -> None:
    """No size and no number of tokens reaches the irreducible loss; the answer names it."""
    for loss in (1.69, 1.5):
        with pytest.raises(NoPlanFound, match=r"floor 1\.69 of law hoffmann"):
            token_budget.cheapest(load_law("hoffmann"), serving(1e12), loss)


def test_a_solve_takes_less_than_a_twentieth_of_a_second() -> None:
    """After the first (imports), a solve with its build stays below 0.05 s; typically 0.003 s."""
    law = load_law("hoffmann")
    target = scaling.loss(law, 100e9, 200e12)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        token_budget.solve(token_budget.cheapest(law, serving(259.2e12, 3.0), target))
        seconds.append(time.perf_counter() - began)
    print(f"median {1e3 * float(np.median(seconds)):.2f} ms")
    assert float(np.median(seconds)) <= 0.05


quality = st.floats(1.95, 3.5)
demand = st.floats(0, 1e16)


@settings(max_examples=40, deadline=None)
@given(law_name=st.sampled_from(LAWS), loss=quality, served=demand, more=st.floats(1.0, 100.0))
def test_more_inference_never_costs_less_nor_asks_for_a_larger_model(
    law_name: str, loss: float, served: float, more: float
) -> None:
    """At fixed quality cost rises and the model shrinks with demand; every bound stays below its cost."""
    law = load_law(law_name)
    less = token_budget.solve(token_budget.cheapest(law, serving(served), loss))
    greater = token_budget.solve(token_budget.cheapest(law, serving(served * more), loss))
    assert greater.ln_objective >= less.ln_objective - 1e-9
    assert greater.params <= less.params * (1 + 1e-9)
    for solution in (less, greater):
        assert solution.ln_bound <= solution.ln_objective + 1e-12
        assert solution.log_gap <= 1e-6


@settings(max_examples=25, deadline=None)
@given(law_name=st.sampled_from(LAWS), loss=quality, served=demand, rl=st.floats(0, 1e15), price=st.floats(1e-22, 1e3))
def test_scaling_every_price_scales_cost(law_name: str, loss: float, served: float, rl: float, price: float) -> None:
    """Prices in another currency: the same plan, cost times the rate."""
    law, rates = load_law(law_name), replace(serving(served), rl=rl)
    dear = SpendRates(price * rates.per_token, price * rates.rl, price * rates.serving)
    one = token_budget.solve(token_budget.cheapest(law, rates, loss))
    other = token_budget.solve(token_budget.cheapest(law, dear, loss))
    assert other.ln_objective - one.ln_objective == pytest.approx(math.log(price), abs=1e-9)
    assert other.params == pytest.approx(one.params, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(law_name=st.sampled_from(LAWS), served=demand, budget=st.floats(1e19, 1e28))
def test_the_two_forms_are_inverse(law_name: str, served: float, budget: float) -> None:
    """The least cost of the loss that a budget buys is that budget."""
    law, rates = load_law(law_name), serving(served)
    bought = token_budget.solve(token_budget.best_quality(law, rates, budget))
    again = token_budget.solve(token_budget.cheapest(law, rates, scaling.loss(law, bought.params, bought.tokens)))
    assert again.ln_objective == pytest.approx(math.log(budget), abs=1e-8)
