"""Effective parameters of a mixture against the published match and a second law."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs import effective_params, scaling
from planner.errors import InstanceError
from planner.instance.effective_params import EffectiveParamsRule, load_effective_params_rule
from planner.instance.law import load_law
from planner.instance.loading import validate
from planner.instance.model import MoeModel

RULES = ("total_over_active", "experts_over_top_k", "active_only")


def tiny_mixture(**changes: Any) -> MoeModel:  # noqa: ANN401 - any field
    """Two MoE layers, 8 experts of which 2 are active."""
    attention = {"kind": "gqa", "heads": 4, "kv_heads": 4, "head_dim": 16, "value_head_dim": 16}
    formats = {"attention": "bf16", "dense_ffn": "bf16", "routed_experts": "bf16"}
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "layers": 2,
        "dense_layers": 0,
        "hidden_size": 64,
        "vocab_size": 256,
        "attention": attention,
        "routed_experts": 8,
        "experts_per_token": 2,
        "expert_intermediate_size": 128,
        "dense_intermediate_size": 128,
        "weights": formats,
        "published_total_params": 1.0,
        "published_active_params": 1.0,
        "sources": {},
    }
    return MoeModel.model_validate(fields | changes)


@pytest.mark.parametrize("name", ["total_over_active", "experts_over_top_k"])
def test_the_published_match(name: str) -> None:
    """C36: 64 experts at 370e6 active match a dense 1.3e9; the exponent is .302 within .005."""
    rule = load_effective_params_rule(name)
    assert rule.exponent == pytest.approx(0.302, abs=0.005)
    assert effective_params.effective_params(rule, 370e6, 64) == pytest.approx(1.3e9, rel=5e-3)
    assert effective_params.active_params_for(rule, 1.3e9, 64) == pytest.approx(370e6, rel=5e-3)
    assert 64**rule.exponent == pytest.approx(3.51, abs=0.01)


def test_the_routed_law_of_clark_puts_the_match_nearby() -> None:
    """Clark et al. 2022, S-BASE: dense size of equal loss for 370e6 x 64 experts is 1.37e9, within 6 % of the rule."""
    a, b, c, start, most = -0.082, -0.108, 0.009, 1.847, 314.478
    saturated = 64 - 1 + 1 / (1 / start - 1 / most)
    experts = math.log10(1 / (1 / saturated + 1 / most))
    dense = math.log10(start)
    active = math.log10(370e6)
    size = (a * active + b * experts + c * active * experts - b * dense) / (a + c * dense)
    rule = load_effective_params_rule("experts_over_top_k")
    assert 10**size == pytest.approx(1.37e9, rel=5e-3)
    assert effective_params.effective_params(rule, 370e6, 64) == pytest.approx(10**size, rel=0.06)


def test_the_two_measures_of_sparsity() -> None:
    """8 experts of which 2 are active: 4 by experts; less by parameters, since attention and embeddings are shared."""
    model = tiny_mixture()
    by_experts = effective_params.sparsity(load_effective_params_rule("experts_over_top_k"), model)
    by_params = effective_params.sparsity(load_effective_params_rule("total_over_active"), model)
    # Attention 4 x 64 x 64, experts 3 x 64 x 128, router 8 x 64, embeddings 2 x 256 x 64, norms 5 x 64.
    shared = 2 * (4 * 64 * 64 + 8 * 64) + 2 * 256 * 64 + 5 * 64
    expert = 3 * 64 * 128
    assert by_experts == 4.0
    assert by_params == pytest.approx((shared + 16 * expert) / (shared + 4 * expert), rel=1e-12)


def test_a_dense_model_is_its_own_equal() -> None:
    """Sparsity 1 leaves parameters as they are, under every rule."""
    dense = tiny_mixture(dense_layers=2, routed_experts=0, experts_per_token=0, expert_intermediate_size=0)
    for name in RULES:
        rule = load_effective_params_rule(name)
        assert effective_params.sparsity(rule, dense) == 1.0
        assert effective_params.effective_params(rule, 7e9, 1.0) == 7e9


def test_without_credit_for_sparsity_a_mixture_is_a_dense_model_of_its_active_size() -> None:
    """The rule active_only gives the plain law at N active."""
    rule, law = load_effective_params_rule("active_only"), load_law("sardana")
    assert effective_params.mixture_loss(law, rule, 37e9, 18.0, 14.8e12) == scaling.loss(law, 37e9, 14.8e12)


@given(sparser=st.floats(1.0, 64.0), active=st.floats(1e8, 1e12), tokens=st.floats(1e10, 1e15))
def test_sparsity_never_hurts_and_tokens_invert_the_loss(sparser: float, active: float, tokens: float) -> None:
    """More experts at the same active size never raise the loss; the tokens for that loss are the tokens spent."""
    rule, law = load_effective_params_rule("total_over_active"), load_law("hoffmann_tex")
    loss = effective_params.mixture_loss(law, rule, active, sparser, tokens)
    assert loss <= scaling.loss(law, active, tokens)
    found = effective_params.mixture_tokens_for_loss(law, rule, active, sparser, loss)
    assert found == pytest.approx(tokens, rel=1e-6)


def test_a_mixture_too_small_for_a_loss() -> None:
    """370e6 x 64 behaves as 1.3e9: under Hoffmann its loss stays above 1.69 + 406.4 / 1.3e9^.34 = 2.014."""
    rule, law = load_effective_params_rule("experts_over_top_k"), load_law("hoffmann")
    assert effective_params.mixture_tokens_for_loss(law, rule, 370e6, 64, 2.01) is None
    assert effective_params.mixture_tokens_for_loss(law, rule, 370e6, 64, 2.03) is not None


def test_sparsity_beyond_the_anchor_is_named() -> None:
    """Sparsity 128 is outside 1 to 64."""
    rule = load_effective_params_rule("total_over_active")
    assert list(effective_params.sparsity_warnings(rule, 18.0)) == []
    assert "128" in next(iter(effective_params.sparsity_warnings(rule, 128.0)))


def test_an_exponent_that_contradicts_its_anchor_is_refused() -> None:
    """The anchor implies .302; .4 with the same anchor is an error, and so is a number without a source."""
    data = load_effective_params_rule("total_over_active").model_dump() | {"exponent": 0.4}
    data["sources"] = {"anchor": "x"}
    with pytest.raises(InstanceError) as caught:
        validate(EffectiveParamsRule, data, "rule.toml")
    text = str(caught.value)
    assert "not the anchor's 0.3022" in text
    assert "no source for exponent" in text
    assert "no source for fitted_sparsity" in text
