"""Dollars of training a member of a family to the quality asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.costs import scaling
from planner.costs.effective_params import effective_params, mixture_tokens_for_loss, sparsity

if TYPE_CHECKING:
    from planner.instance.lifecycle import LifecycleInstance
    from planner.instance.model import MoeModel


def target_loss(instance: LifecycleInstance) -> float:
    """Loss [nats a token] of the quality asked for, under the case's law and rule."""
    quality = instance.spec.quality
    params = effective_params(instance.rule, quality.active_params, quality.sparsity)
    return scaling.loss(instance.law, params, quality.tokens)


def dense_equivalent(instance: LifecycleInstance, model: MoeModel) -> float:
    """Effective parameters of a member."""
    return effective_params(instance.rule, model.active_params, sparsity(instance.rule, model))


def pretraining_tokens(instance: LifecycleInstance, model: MoeModel) -> float | None:
    """Fewest tokens with which a member reaches the quality; None if no number does. Closed form."""
    return mixture_tokens_for_loss(
        instance.law, instance.rule, model.active_params, sparsity(instance.rule, model), target_loss(instance)
    )


def pretraining_usd(instance: LifecycleInstance, model: MoeModel, tokens: float) -> float:
    """Dollars of pre-training: 6 N D FLOP at the training price."""
    return instance.training.usd_per_flop * scaling.training_flop(model.active_params, tokens)


def rl_training_usd(instance: LifecycleInstance, model: MoeModel, rl_tokens: float) -> float:
    """Dollars of training on RL tokens: 6 N D_rl FLOP at the training price; generating them is priced by the fleet."""
    return instance.training.usd_per_flop * scaling.training_flop(model.active_params, rl_tokens)


def decode_penalty(instance: LifecycleInstance, model: MoeModel, decode_usd: float) -> float:
    """How many times dearer a decode FLOP is than a training FLOP, from what decoding the demand costs.

    (decode dollars / (2 N T_out)) / (dollars of a training FLOP).
    """
    flop = scaling.serving_flop(model.active_params, instance.output_tokens)
    return decode_usd / flop / instance.training.usd_per_flop
