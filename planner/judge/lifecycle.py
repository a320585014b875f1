"""Judge a plan that also chooses the model: is the quality reached, and what does everything cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.costs import lifecycle as cost
from planner.costs.effective_params import mixture_loss, sparsity
from planner.judge.evaluate import Evaluation, evaluate

if TYPE_CHECKING:
    from planner.instance.instance import Instance
    from planner.instance.lifecycle import LifecycleInstance
    from planner.plan import Plan

LOSS_TOLERANCE = 1e-9
"""Relative slack of the loss: the closed form inverts a power."""


def member_instance(instance: LifecycleInstance, member: Instance) -> Instance:
    """Return the serving instance of a member, with the rollouts of its RL generated at the price of decoding."""
    return member.replace(decode_surcharge=instance.spec.rl_tokens / instance.output_tokens)


def evaluate_lifecycle(instance: LifecycleInstance, plan: Plan) -> Evaluation:
    """Price training, RL, rollouts and serving of ``plan`` and list every limit that it breaks."""
    choice = plan.training
    members = {member.model.name: member for member in instance.members}
    if choice is None or choice.member not in members:
        named = "no member" if choice is None else f"unknown member {choice.member}"
        return Evaluation(violations=[f"the plan names {named}; the case leaves the model open"])
    member = members[choice.member]
    result = evaluate(member_instance(instance, member), plan)
    model = member.model
    reached = mixture_loss(
        instance.law, instance.rule, model.active_params, sparsity(instance.rule, model), choice.pretraining_tokens
    )
    target = cost.target_loss(instance)
    if reached > target * (1 + LOSS_TOLERANCE):
        result.violations.append(f"loss {reached:.6f} exceeds the target {target:.6f}")
    if choice.rl_tokens < instance.spec.rl_tokens:
        result.violations.append(f"{choice.rl_tokens:.4g} RL tokens, {instance.spec.rl_tokens:.4g} are needed")
    training = {
        "pretraining": cost.pretraining_usd(instance, model, choice.pretraining_tokens),
        "rl_training": cost.rl_training_usd(instance, model, choice.rl_tokens),
    }
    result.breakdown_usd = training | result.breakdown_usd
    result.cost_usd += sum(training.values())
    return result
