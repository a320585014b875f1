"""The judge for either kind of case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.instance.lifecycle import LifecycleInstance
from planner.judge.evaluate import Evaluation, evaluate
from planner.judge.lifecycle import evaluate_lifecycle

if TYPE_CHECKING:
    from planner.instance.instance import Instance
    from planner.plan import Plan


def judge(instance: Instance | LifecycleInstance, plan: Plan) -> Evaluation:
    """Price ``plan`` and list every limit that it breaks."""
    if isinstance(instance, LifecycleInstance):
        return evaluate_lifecycle(instance, plan)
    return evaluate(instance, plan)
