"""Loss laws and their closed forms against the published and recomputed figures of the training planners dossier."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs import scaling
from planner.instance.law import LossLaw, load_law

COMPUTE_OPTIMAL = [
    ("sardana", 5.76e23, 4.17156e10, 2.30130e12, 1.930125),
    ("sardana", 1e24, 5.36822e10, 3.10469e12, 1.910615),
    ("besiroglu", 5.76e23, 7.22487e10, 1.32874e12, 1.974441),
    ("besiroglu", 1e24, 9.58607e10, 1.73863e12, 1.959712),
    ("besiroglu", 1e26, 1.01593e12, 1.64053e13, 1.879902),
    ("hoffmann_tex", 1e24, 5.18543e10, 3.21413e12, 1.899967),
    ("hoffmann", 1e24, 4.12967e10, 4.03583e12, 1.911195),
]


@pytest.mark.parametrize(("law", "budget", "params", "tokens", "loss"), COMPUTE_OPTIMAL)
def test_compute_optimal_rows(law: str, budget: float, params: float, tokens: float, loss: float) -> None:
    """The closed form gives every compute-optimal row of the dossier, section 1.1, to its printed digits."""
    found = scaling.compute_optimal(load_law(law), budget)
    assert found == pytest.approx((params, tokens), rel=6e-6)
    assert scaling.loss(load_law(law), *found) == pytest.approx(loss, abs=6e-7)


@pytest.mark.parametrize(
    ("law", "ratio"), [("hoffmann", 92.6), ("hoffmann_tex", 59.1), ("sardana", 55.2), ("besiroglu", 18.4)]
)
def test_tokens_per_parameter_at_the_budget_of_chinchilla(law: str, ratio: float) -> None:
    """Rounding of the exponents alone moves D/N at 5.76e23 FLOP from 59 to 93; only the refit is near 20."""
    params, tokens = scaling.compute_optimal(load_law(law), 5.76e23)
    assert tokens / params == pytest.approx(ratio, abs=0.05)


def test_published_loss_of_a_70b_model_on_1t_tokens() -> None:
    """Sardana et al. print 1.947 for 70e9 parameters on 1e12 tokens."""
    assert scaling.loss(load_law("sardana"), 70e9, 1e12) == pytest.approx(1.947273, abs=5e-7)


def test_published_chinchilla_point_of_30b() -> None:
    """Sardana et al.: 30e9 parameters are optimal at 1.5559e12 tokens, loss 1.95825336, 2.8006e23 FLOP."""
    law = load_law("sardana")
    tokens = scaling.law_optimal_tokens(law, 30e9)
    assert tokens == pytest.approx(1.5559e12, rel=1e-5)
    assert scaling.loss(law, 30e9, tokens) == pytest.approx(1.95825336, abs=5e-9)
    assert scaling.training_flop(30e9, tokens) == pytest.approx(2.8006e23, rel=1e-4)
    served = scaling.training_flop(30e9, tokens) + scaling.serving_flop(30e9, 6e11)
    assert served == pytest.approx(3.1606e23, rel=1e-4)


@pytest.mark.parametrize(
    ("law", "tokens"), [("sardana", 6.4981e12), ("hoffmann_tex", 7.0249e12), ("besiroglu", 1.8099e12)]
)
def test_law_optimal_tokens_of_100b(law: str, tokens: float) -> None:
    """Tokens at which 100e9 parameters are the compute-optimal size, section 2.5."""
    assert scaling.law_optimal_tokens(load_law(law), 1e11) == pytest.approx(tokens, rel=1e-4)


@given(
    law=st.sampled_from(["hoffmann", "hoffmann_tex", "sardana", "besiroglu"]),
    params=st.floats(1e6, 1e13),
    tokens=st.floats(1e8, 1e16),
)
def test_tokens_for_loss_inverts_the_law(law: str, params: float, tokens: float) -> None:
    """A member trained on the tokens that the closed form asks for has exactly the target loss."""
    known = load_law(law)
    target = scaling.loss(known, params, tokens)
    found = scaling.tokens_for_loss(known, params, target)
    assert found is not None
    assert scaling.loss(known, params, found) == pytest.approx(target, rel=1e-12)
    assert scaling.params_for_loss(known, tokens, target) == pytest.approx(params, rel=1e-6)


def test_a_member_too_small_for_a_loss_has_no_tokens() -> None:
    """1e9 parameters under the Hoffmann law never fall below 1.69 + 406.4 / 1e9^.34 = 2.0441."""
    law = load_law("hoffmann")
    assert scaling.tokens_for_loss(law, 1e9, 2.04) is None
    assert scaling.tokens_for_loss(law, 1e9, 2.05) is not None


def test_rule_of_twenty_tokens_per_parameter() -> None:
    """C = 5e18 FLOP at D = 20 N, nothing served: N = sqrt(C / 120) = 2.041e8, D = 4.082e9."""
    found = scaling.SpendRates(per_token=6.0).at_tokens_per_param(5e18, 20.0)
    assert found == pytest.approx((math.sqrt(5e18 / 120), 20 * math.sqrt(5e18 / 120)), rel=1e-12)
    assert found == pytest.approx((2.041e8, 4.082e9), rel=1e-3)


@pytest.mark.parametrize(
    ("ratio", "percent"),
    [(1.5, 2.062), (2, 6.066), (3, 15.470), (5, 34.164), (10, 73.925), (100, 405.0)],
)
def test_cost_of_unequal_spending_in_product_form(ratio: float, percent: float) -> None:
    """Being off the equal split by 2x, 3x, 10x costs 6.066, 15.470, 73.925 %, section 2.3."""
    assert 100 * scaling.equal_spend_regret(ratio) == pytest.approx(percent, abs=5e-4)
    assert scaling.equal_spend_regret(1 / ratio) == pytest.approx(scaling.equal_spend_regret(ratio), rel=1e-12)


@pytest.mark.parametrize(
    ("shares", "percent"),
    [
        ((0.5, 0.25, 0.25), 5.827),
        ((0.6, 0.2, 0.2), 15.560),
        ((0.45, 0.1, 0.45), 22.294),
        ((0.8, 0.1, 0.1), 66.667),
        ((0.05, 0.05, 0.9), 154.381),
    ],
)
def test_cost_of_three_unequal_shares(shares: tuple[float, ...], percent: float) -> None:
    """Three-way shares of section 2.3: extra spend over equal thirds."""
    assert 100 * scaling.product_form_regret(shares) == pytest.approx(percent, abs=5e-4)


@pytest.mark.parametrize(
    ("law", "factor", "ratio_for_100"),
    [
        ("hoffmann", 11.88795, 2.63078),
        ("sardana", 11.58004, 2.68129),
        ("hoffmann_tex", 11.39243, 2.71364),
        ("besiroglu", 6.65175, 4.39014),
    ],
)
def test_overtraining_at_equal_spend(law: str, factor: float, ratio_for_100: float) -> None:
    """Equal spend means 11.6x (Hoffmann) or 6.65x (refit) over the law's own optimum; 100x needs far more serving."""
    assert scaling.overtraining_at(load_law(law), 1.0) == pytest.approx(factor, abs=5e-6)
    assert scaling.overtraining_at(load_law(law), ratio_for_100) == pytest.approx(100, rel=3e-6)


def test_rl_tokens_cost_generation_and_training() -> None:
    """6 N to train on a rollout and 2 N to generate it: 8 N a token; 12 N where decode runs at a third of training."""
    assert scaling.training_flop(1e9, 1e12, 1e11) == 1e9 * (6e12 + 8e11)
    assert scaling.rl_flop_per_param_token(3.0) == 12.0


@pytest.mark.parametrize(
    ("kappa", "efficiency", "rl_tokens"), [(6, 0.3, 2.0e13), (8, 0.3, 1.5e13), (2, 0.3, 6.0e13), (6, 1, 6.667e13)]
)
def test_rl_tokens_of_equal_cost_with_inference(kappa: float, efficiency: float, rl_tokens: float) -> None:
    """Section 2.6: with 2e14 inference tokens, RL costs as much as inference at these token counts."""
    spent = scaling.training_flop(1e11, 0.0, rl_tokens, rl_factor=kappa / efficiency)
    assert spent == pytest.approx(scaling.serving_flop(1e11, 2e14), rel=1e-4)


def test_the_cards_ratios_with_decode_at_a_third_of_training() -> None:
    """C25: 6 D = 3 x 3 D_rl = 2 x 3 T gives D / D_rl = 1.5 and D / T = 1 exactly."""
    rates = scaling.SpendRates(per_token=6.0, serving=scaling.serving_flop(1.0, 1e14, 3.0))
    assert scaling.equal_spend_tokens(rates) == 1e14
    rl_spend = scaling.training_flop(1.0, 0.0, 1e14 / 1.5, rl_factor=9.0)
    assert rl_spend == pytest.approx(rates.serving, rel=1e-15)


def test_rl_beyond_serving_leaves_no_equal_spend() -> None:
    """If RL alone outspends serving, no pre-training makes the two equal."""
    assert scaling.equal_spend_tokens(scaling.SpendRates(per_token=6.0, rl=3.0, serving=2.0)) is None


def test_every_law_names_a_source_for_every_number() -> None:
    """A law without the source of one of its numbers is refused."""
    data = load_law("besiroglu").model_dump()
    del data["sources"]["tokens_exponent"]
    with pytest.raises(ValueError, match="no source for tokens_exponent"):
        LossLaw.model_validate(data)


def test_a_reversed_range_is_refused() -> None:
    """Ranges are [least, greatest]."""
    data = load_law("sardana").model_dump() | {"fitted_params": (2e10, 1e8)}
    with pytest.raises(ValueError, match="fitted_params must be"):
        LossLaw.model_validate(data)
