"""Quality of a mixture-of-experts model by effective parameters, the dense size that it matches.

Training and serving FLOP go by active parameters; only the loss goes by effective ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.costs import scaling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.instance.effective_params import EffectiveParamsRule
    from planner.instance.law import LossLaw
    from planner.instance.model import MoeModel


def sparsity(rule: EffectiveParamsRule, model: MoeModel) -> float:
    """Sparsity of a model as the rule measures it; 1 for a dense model."""
    if model.moe_layers == 0:
        return 1.0
    if rule.measure == "total_over_active":
        return model.total_params / model.active_params
    return model.routed_experts / model.experts_per_token


def effective_params(rule: EffectiveParamsRule, active_params: float, model_sparsity: float) -> float:
    """Dense parameters of the same quality: N_active * sparsity^exponent. Source: the rule's file."""
    return float(active_params * model_sparsity**rule.exponent)


def active_params_for(rule: EffectiveParamsRule, dense_params: float, model_sparsity: float) -> float:
    """Active parameters with which a mixture of this sparsity matches a dense model."""
    return float(dense_params * model_sparsity**-rule.exponent)


def mixture_loss(
    law: LossLaw, rule: EffectiveParamsRule, active_params: float, model_sparsity: float, tokens: float
) -> float:
    """Loss [nats a token] of a mixture after ``tokens`` pre-training tokens."""
    return scaling.loss(law, effective_params(rule, active_params, model_sparsity), tokens)


def mixture_tokens_for_loss(
    law: LossLaw, rule: EffectiveParamsRule, active_params: float, model_sparsity: float, target_loss: float
) -> float | None:
    """Fewest pre-training tokens with which the mixture reaches the loss; None if no number does."""
    return scaling.tokens_for_loss(law, effective_params(rule, active_params, model_sparsity), target_loss)


def sparsity_warnings(rule: EffectiveParamsRule, model_sparsity: float) -> Iterable[str]:
    """Say when a sparsity lies outside what the rule was drawn from."""
    least, greatest = rule.fitted_sparsity
    if not least <= model_sparsity <= greatest:
        yield (
            f"sparsity {model_sparsity:.3g}: effective-parameter rule {rule.name} covers {least:g} to {greatest:g}; "
            "extrapolated"
        )
