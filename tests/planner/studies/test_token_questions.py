"""Questions about the token budget and their certified answers, against the claim ledger and published rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from planner.costs import scaling
from planner.errors import InstanceError, NoPlanFound
from planner.instance.law import load_law
from planner.studies.token_budget import TokenAnswer, TokenQuestion, token_budget, under_laws

CASES = Path(__file__).parents[4] / "shared" / "data" / "real_inputs" / "cases.json"


def frontier(law: str = "hoffmann", served: float = 259.2e12, penalty: float = 3.0) -> TokenAnswer:
    """Quality of 100e9 parameters on 200e12 tokens."""
    question = TokenQuestion(served, match_params=100e9, match_tokens=200e12, decode_penalty=penalty)
    return token_budget(question, load_law(law))


def test_the_frontier_question() -> None:
    """N 98.25e9, D 208.0e12, over-training 105.9, serving/training 1.246, each to 0.5 %; log gap at most 1e-6."""
    answer = frontier()
    assert answer.params == pytest.approx(98.25e9, rel=5e-3)
    assert answer.tokens == pytest.approx(208.0e12, rel=5e-3)
    assert answer.overtraining_rule20 == pytest.approx(105.9, rel=5e-3)
    assert answer.serving_over_training == pytest.approx(1.246, rel=5e-3)
    assert 0 <= answer.gap <= answer.log_gap <= 1e-6
    assert answer.bound_flop <= answer.cost_flop


@pytest.mark.parametrize(
    ("law", "penalty", "params", "tokens", "ratio", "overtraining"),
    [("besiroglu", 3.0, 119e9, 89e12, 2.91, 37), ("hoffmann", 1.0, 131e9, 118e12, 0.735, 45)],
)
def test_other_laws_and_penalties(
    law: str, penalty: float, params: float, tokens: float, ratio: float, overtraining: float
) -> None:
    """C24: the refit and an ideal decode move the same question to other answers."""
    answer = frontier(law, penalty=penalty)
    found = (answer.params, answer.tokens, answer.serving_over_training)
    assert found == pytest.approx((params, tokens, ratio), rel=1e-2)
    assert answer.overtraining_rule20 == pytest.approx(overtraining, abs=0.5)


@pytest.mark.parametrize(
    ("served", "ratio"), [(26e12, 0.36), (65e12, 0.63), (130e12, 0.90), (259e12, 1.25), (518e12, 1.66), (2592e12, 2.96)]
)
def test_serving_over_training_by_demand(served: float, ratio: float) -> None:
    """C28: the optimal ratio runs from .36 to 2.96 with demand, so equal spend is not a law; each within 1 %."""
    assert frontier(served=served).serving_over_training == pytest.approx(ratio, rel=1e-2)


def test_half_the_demand_where_the_model_may_not_be_frontier() -> None:
    """C28: an even chance of obsolescence halves expected demand: 118e9 parameters, 143e12 tokens, ratio .90."""
    answer = frontier(served=129.6e12)
    found = (answer.params, answer.tokens, answer.serving_over_training)
    assert found == pytest.approx((118e9, 143e12, 0.90), rel=1e-2)


@pytest.mark.parametrize(
    ("law", "served", "efficiency", "tokens", "multiple", "ratio"),
    [
        ("sardana", 2e14, 1, 6.96706e13, 34.835, 0.95688),
        ("sardana", 2e14, 0.3, 1.53544e14, 76.772, 1.44729),
        ("sardana", 2e14, 0.1, 3.27865e14, 163.9, 2.0334),
        ("sardana", 2.592e14, 1, 8.22227e13, 41.111, 1.05081),
        ("sardana", 2.592e14, 0.3, 1.83148e14, 91.574, 1.57250),
        ("hoffmann_tex", 2e14, 1, 7.12887e13, 35.644, 0.93517),
        ("hoffmann_tex", 2e14, 0.3, 1.56416e14, 78.208, 1.42071),
        ("besiroglu", 2e14, 1, 3.44178e13, 17.209, 1.93698),
        ("besiroglu", 2e14, 0.3, 7.59966e13, 37.998, 2.92411),
        ("besiroglu", 2.592e14, 0.3, 9.04869e13, 45.243, 3.18278),
    ],
)
def test_token_budget_of_100b_parameters(
    law: str, served: float, efficiency: float, tokens: float, multiple: float, ratio: float
) -> None:
    """Section 2.5: where 1e11 parameters are the best size, these tokens are; decode at an efficiency of training."""
    question = TokenQuestion(served, match_params=1e11, match_tokens=tokens, decode_penalty=1 / efficiency)
    answer = token_budget(question, load_law(law))
    assert (answer.params, answer.tokens) == pytest.approx((1e11, tokens), rel=1e-4)
    assert answer.overtraining_rule20 == pytest.approx(multiple, rel=3e-4)
    assert answer.serving_over_training == pytest.approx(ratio, rel=1e-4)


def test_dollars_at_modern_prices() -> None:
    """Section 1.2: H100 at 2 $/h, training at half of 989 TFLOP/s, 8-bit decode at 1 % MFU: $6.27011M, 59.62 %."""
    law = load_law("sardana")
    train = 2 / 3600 / (989e12 * 0.5)
    prefill, decode = 2 / 3600 / (2 * 989e12 * 0.5), 2 / 3600 / (2 * 989e12 * 0.01)
    served = 1e10 * (70 + 215)
    mean_price = (70 * prefill + 215 * decode) / (70 + 215)
    question = TokenQuestion(served, match_params=70e9, train_usd_per_flop=train, serve_usd_per_flop=mean_price)
    answer = token_budget(question, law)
    assert (answer.params, answer.tokens) == pytest.approx((2.64792e10, 1.7095e13), rel=1e-3)
    assert answer.cost_usd == pytest.approx(6.27011e6, rel=1e-6)
    chinchilla = question.spend_rates().total(70e9, scaling.law_optimal_tokens(law, 70e9))
    assert answer.cost_usd / chinchilla == pytest.approx(0.5962, abs=5e-5)
    assert answer.bound_usd is not None
    assert answer.bound_usd <= answer.cost_usd
    assert answer.bound_flop < answer.cost_flop


def test_equal_prices_change_nothing() -> None:
    """Dollars at one price for every FLOP give the plan of the FLOP count, with a true bound in both units."""
    in_flop = token_budget(TokenQuestion(1e13, loss=2.0), load_law("sardana"))
    priced = TokenQuestion(1e13, loss=2.0, train_usd_per_flop=2e-18, serve_usd_per_flop=2e-18)
    in_usd = token_budget(priced, load_law("sardana"))
    assert in_usd.params == pytest.approx(in_flop.params, rel=1e-7)
    assert in_usd.cost_usd == pytest.approx(2e-18 * in_flop.cost_flop, rel=1e-9)
    assert in_usd.bound_flop == pytest.approx(in_flop.bound_flop, rel=1e-9)


def test_a_budget_gives_the_least_loss_and_its_bound() -> None:
    """Fixed-budget row of section 1.2: SAR, 1e24 FLOP, 1e13 served tokens: loss 1.935155, the whole budget spent."""
    answer = token_budget(TokenQuestion(1e13, budget_flop=1e24), load_law("sardana"))
    assert answer.loss == pytest.approx(1.935155, abs=6e-7)
    assert answer.cost_flop == pytest.approx(1e24, rel=1e-12)
    assert answer.bound_loss is not None
    assert answer.bound_loss <= answer.loss
    assert answer.bound_flop <= answer.cost_flop
    assert answer.bound_flop == pytest.approx(1e24, rel=1e-9)
    assert answer.rule20_loss is not None
    assert answer.rule20_loss > answer.loss


@pytest.mark.shared_data
@pytest.mark.skipif(not CASES.is_file(), reason="the shared data folder is missing")
def test_one_gpu_for_a_day_from_the_collection() -> None:
    """BR91: optimum under two laws and the rule of 20, with a warning that 5e18 FLOP is below the traced budgets."""
    rows = [row for row in _cases() if row["id"] == "BR91"]
    assert len(rows) == 3
    laws = {0.28: "hoffmann", 0.3658: "besiroglu"}
    for row in rows:
        law = load_law(laws[row["input"].get("beta", 0.28)])
        answer = token_budget(TokenQuestion(0.0, budget_flop=row["input"]["C"]), law)
        found = (
            (answer.rule20_params, answer.rule20_tokens) if "ratio" in row["input"] else (answer.params, answer.tokens)
        )
        assert found == pytest.approx((row["expected"]["N"], row["expected"]["D"]), rel=row["rel_tolerance"])
        assert any("pre-training FLOP" in warning for warning in answer.warnings)


def _cases() -> list[dict[str, Any]]:
    document = json.loads(CASES.read_text(encoding="utf-8"))
    if isinstance(document, dict):
        document = document["cases"] if "cases" in document else [row for part in document.values() for row in part]
    return [row for row in document if isinstance(row, dict)]


def test_warnings_name_what_leaves_the_fitted_range() -> None:
    """Inside the runs nothing is said; the frontier answer is outside in size, ratio and budget."""
    inside = token_budget(TokenQuestion(0.0, budget_flop=1e21), load_law("besiroglu"))
    assert inside.warnings == ()
    outside = frontier().warnings
    assert ["tokens per parameter" in text for text in outside] == [False, True, False]
    assert len(outside) == 3
    assert all("law hoffmann" in text for text in outside)


def test_equal_spend_rule_costs_little_near_its_own_optimum_and_more_away_from_it() -> None:
    """The rule is free where r = 1 is optimal (SAR, T = 1e13, N = 7.2427e9) and costs at other demands."""
    law = load_law("sardana")
    target = scaling.loss(law, 7.24270e9, 1e13 / 3)
    at_optimum = token_budget(TokenQuestion(1e13, loss=target), law)
    assert at_optimum.equal_spend_regret == pytest.approx(0, abs=1e-9)
    far = token_budget(TokenQuestion(1e15, loss=target), law)
    assert far.equal_spend_regret is not None
    served_share = far.serving_over_training
    assert served_share > 2
    assert far.equal_spend_regret > 0.01
    assert token_budget(TokenQuestion(0.0, loss=target), law).equal_spend_regret is None


def test_rl_tokens_shrink_the_model_and_do_not_touch_the_loss() -> None:
    """A fixed number of RL tokens costs like serving: (6 + 2) N a token equals four times as many served tokens."""
    law = load_law("hoffmann_tex")
    with_rl = token_budget(TokenQuestion(1e13, loss=1.95, rl_tokens=1e12), law)
    as_serving = token_budget(TokenQuestion(1.4e13, loss=1.95), law)
    assert with_rl.params == pytest.approx(as_serving.params, rel=1e-9)
    assert with_rl.cost_flop == pytest.approx(as_serving.cost_flop, rel=1e-9)
    assert with_rl.loss == pytest.approx(1.95, rel=1e-12)
    assert with_rl.rl_tokens == 1e12


def test_rl_in_proportion_to_pretraining() -> None:
    """RL at a tenth of the tokens makes a pre-training token cost 6.8 N: the plan of 6/6.8 of the demand."""
    law = load_law("hoffmann_tex")
    with_rl = token_budget(TokenQuestion(1e13, loss=1.95, rl_ratio=0.1), law)
    equivalent = token_budget(TokenQuestion(1e13 * 6 / 6.8, loss=1.95), law)
    assert with_rl.params == pytest.approx(equivalent.params, rel=1e-9)
    assert with_rl.rl_tokens == pytest.approx(0.1 * with_rl.tokens, rel=1e-15)
    assert with_rl.cost_flop == pytest.approx(equivalent.cost_flop * 6.8 / 6, rel=1e-9)


def test_all_laws_side_by_side_name_the_one_without_a_plan() -> None:
    """Loss 1.75 lies below the floor of the refit only; 1.5 below every floor."""
    laws = [load_law(name) for name in ("hoffmann", "besiroglu")]
    answers = under_laws(TokenQuestion(1e13, loss=1.75), laws)
    assert isinstance(answers["hoffmann"], TokenAnswer)
    refit = answers["besiroglu"]
    assert isinstance(refit, NoPlanFound)
    assert "1.8172" in refit.reasons[0]
    with pytest.raises(NoPlanFound) as caught:
        under_laws(TokenQuestion(1e13, loss=1.5), laws)
    assert len(caught.value.reasons) == 2


def test_a_budget_below_one_parameter_has_no_plan() -> None:
    """1e10 FLOP do not pay for one parameter that serves 1e14 tokens."""
    with pytest.raises(NoPlanFound, match="less than one parameter"):
        token_budget(TokenQuestion(1e14, budget_flop=1e10), load_law("sardana"))


def test_every_problem_of_a_question_is_listed() -> None:
    """Bad numbers and bad combinations come together, each with its flag and a remedy."""
    question = TokenQuestion(
        math.nan, loss=2.0, budget_flop=-1.0, match_tokens=1e12, rl_tokens=1.0, rl_ratio=1.0, train_usd_per_flop=1.0
    )
    with pytest.raises(InstanceError) as caught:
        token_budget(question, load_law("sardana"))
    keys = [problem.key for problem in caught.value.problems]
    expected = [
        "--inference-tokens",
        "--budget-flop",
        "--loss",
        "--match-tokens",
        "--rl-tokens",
        "--serve-usd-per-flop",
    ]
    assert sorted(keys) == sorted(expected)
    assert all(problem.remedy for problem in caught.value.problems)
