"""The JSON document of a certified lifecycle: the serving document of the chosen member, and what choosing it means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from planner.costs import lifecycle as cost
from planner.costs import scaling
from planner.errors import NoPlanFound
from planner.instance import library
from planner.instance.law import load_law
from planner.studies.lifecycle import FleetShelf, LifecycleAnswer, MemberRecord, solve_lifecycle
from planner.studies.payload import answer_payload
from planner.studies.token_budget import range_warnings

if TYPE_CHECKING:
    from planner.instance.lifecycle import LifecycleInstance
    from planner.studies.sensitivity import Saving


def lifecycle_payload(
    answer: LifecycleAnswer, shelf: FleetShelf, saved: list[Saving], marginal: dict[str, float]
) -> dict[str, Any]:
    """Document of one solve: the keys of a serving plan, with the whole life's cost, and ``lifecycle``."""
    serving = answer.chosen.serving
    if serving is None:
        raise NoPlanFound(["the chosen member has no fleet"])
    document = answer_payload(serving, saved, marginal)
    choice = answer.plan.training
    document["decisions"]["training"] = None if choice is None else choice.model_dump()
    return document | {
        "status": answer.status,
        "stop_reason": answer.stop_reason,
        "cost_usd": answer.cost_usd,
        "bound_usd": answer.bound_usd,
        "gap": answer.gap,
        "evaluator_relative_difference": answer.evaluator_relative_difference,
        "breakdown_usd": answer.evaluation.breakdown_usd,
        "seconds": answer.seconds,
        "lifecycle": _lifecycle(answer, shelf),
    }


def _lifecycle(answer: LifecycleAnswer, shelf: FleetShelf) -> dict[str, Any]:
    instance = answer.instance
    training = instance.training
    return {
        "target_loss": cost.target_loss(instance),
        "quality": instance.spec.quality.model_dump(),
        "rule": {"name": instance.rule.name, "exponent": instance.rule.exponent, "sources": instance.rule.sources},
        "training": {
            "hardware": training.hardware,
            "usd_per_gpu_hour": training.usd_per_gpu_hour,
            "price": training.price_note,
            "efficiency": training.efficiency,
            "usd_per_flop": training.usd_per_flop,
        },
        "output_tokens": instance.output_tokens,
        "members": [_member(record) for record in sorted(answer.members, key=lambda entry: entry.bound_usd)],
        "laws": _laws(instance, shelf),
    }


def _laws(instance: LifecycleInstance, shelf: FleetShelf) -> list[dict[str, Any]]:
    """One row a law; after Ctrl-C those that need no further fleet, the case's own law among them."""
    rows = []
    for name in library.names("laws"):
        try:
            rows.append(under_law(instance, name, shelf))
        except KeyboardInterrupt:
            shelf.interrupted = True
            if name == instance.law.name:
                rows.append(under_law(instance, name, shelf))
    return rows


def _member(record: MemberRecord) -> dict[str, Any]:
    return {
        "member": record.name,
        "active_params": record.instance.model.active_params,
        "total_params": record.instance.model.total_params,
        "pretraining_tokens": record.tokens,
        "training_usd": record.training_usd if record.tokens else None,
        "serving_bound_usd": record.fleet_bound_usd,
        "serving_usd": record.serving.cost_usd if record.serving else None,
        "bound_usd": record.bound_usd,
        "cost_usd": record.cost_usd,
        "reason": record.reason,
    }


def under_law(instance: LifecycleInstance, law_name: str, shelf: FleetShelf) -> dict[str, Any]:
    """Solve the case again under another loss law; the fleets are those already planned."""
    other = instance.replace(law=load_law(law_name))
    row: dict[str, Any] = {"law": law_name, "chosen": law_name == instance.law.name}
    try:
        answer = solve_lifecycle(other, shelf=shelf)
    except NoPlanFound as error:
        return row | {"cost_usd": None, "reasons": list(error.reasons)}
    return row | law_row(answer, shelf)


def law_row(answer: LifecycleAnswer, shelf: FleetShelf) -> dict[str, Any]:
    """Say what the choice means: spend shares, over-training, decode penalty, regret of the equal-spend rule."""
    instance, record, spend = answer.instance, answer.chosen, answer.evaluation.breakdown_usd
    model, tokens = record.instance.model, record.tokens or math.nan
    dense = cost.dense_equivalent(instance, model)
    decoding = spend.get("decode", 0.0) + spend.get("both", 0.0)
    rl = spend["rl_training"] + spend.get("rl_generation", 0.0)
    serving = answer.cost_usd - spend["pretraining"] - rl
    return {
        "member": record.name,
        "active_params": model.active_params,
        "effective_params": dense,
        "pretraining_tokens": tokens,
        "rl_tokens": instance.spec.rl_tokens,
        "loss": cost.target_loss(instance),
        "cost_usd": answer.cost_usd,
        "bound_usd": answer.bound_usd,
        "gap": answer.gap,
        "spend_shares": {
            "pretraining": spend["pretraining"] / answer.cost_usd,
            "rl": rl / answer.cost_usd,
            "serving": serving / answer.cost_usd,
        },
        "serving_over_training": serving / (answer.cost_usd - serving),
        "overtraining_rule20": tokens / (scaling.RULE_TOKENS_PER_PARAM * model.active_params),
        "overtraining_law": tokens / scaling.law_optimal_tokens(instance.law, dense),
        "decode_penalty": cost.decode_penalty(instance, model, decoding),
        "decode_penalty_of_rollouts": penalty_of_rollouts(answer),
        "equal_spend": equal_spend(answer, shelf),
        "bracket": bracket(answer),
        "warnings": list(range_warnings(instance.law, dense, tokens)),
    }


def penalty_of_rollouts(answer: LifecycleAnswer) -> float | None:
    """Decode penalty at which the rollouts were priced: their dollars over 2 N D_rl FLOP and the training price."""
    instance, dollars = answer.instance, answer.evaluation.breakdown_usd.get("rl_generation")
    if not dollars or not instance.spec.rl_tokens:
        return None
    flop = scaling.serving_flop(answer.chosen.instance.model.active_params, instance.spec.rl_tokens)
    return dollars / flop / instance.training.usd_per_flop


def equal_spend(answer: LifecycleAnswer, shelf: FleetShelf) -> dict[str, Any]:
    """Price the rule "as much on serving as on training": the member nearest to it, planned to the end."""
    able = [record for record in answer.members if record.possible and record.fleet_bound_usd]
    nearest = min(able, key=lambda record: abs(math.log((record.fleet_bound_usd or 1.0) / record.training_usd)))
    try:
        fleet = shelf.answer(nearest.instance)
    except KeyboardInterrupt:
        fleet = "interrupted"
    if isinstance(fleet, str):
        return {"member": nearest.name, "cost_usd": None, "regret": None}
    total = nearest.training_usd + fleet.cost_usd
    return {"member": nearest.name, "cost_usd": total, "regret": total / answer.cost_usd - 1.0}


def bracket(answer: LifecycleAnswer) -> dict[str, Any]:
    """Least training alone and least serving alone: their sum bounds the optimum from below."""
    able = [record for record in answer.members if record.possible]
    trained = min(able, key=lambda record: record.training_usd)
    served = min(able, key=lambda record: record.bound_usd - record.training_usd)
    return {
        "training_only": {"member": trained.name, "training_usd": trained.training_usd},
        "serving_only": {"member": served.name, "serving_bound_usd": served.bound_usd - served.training_usd},
        "sum_usd": trained.training_usd + served.bound_usd - served.training_usd,
    }
