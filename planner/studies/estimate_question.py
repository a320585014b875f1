"""The question of `planner estimate`, and everything that can be wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import Problem

if TYPE_CHECKING:
    from planner.instance.model import MoeModel

LARGEST = 10**9
LARGEST_TOKENS_PER_STEP = 16


@dataclass(frozen=True)
class EstimateQuestion:
    """A deployment of one replica under load; ``batch`` is sequences per attention rank, or give ``concurrency``."""

    model: str
    hardware: str
    engine: str
    input_tokens: int
    output_tokens: int
    tensor_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: int | None = None
    pipeline_parallel: int = 1
    batch: float | None = None
    concurrency: float | None = None
    precision: str | None = None
    cached_share: float = 0.0
    tokens_per_step: float = 1.0
    profile: str = "fitted"


def number_problems(question: EstimateQuestion) -> list[Problem]:
    """Find figures that are no counts, shares or loads."""
    counts = {
        "--isl": question.input_tokens,
        "--osl": question.output_tokens,
        "--tp": question.tensor_parallel,
        "--dp": question.data_parallel,
        "--pp": question.pipeline_parallel,
        "--ep": 1 if question.expert_parallel is None else question.expert_parallel,
    }
    found = [
        Problem(key, "", f"{value} is not a count", f"give 1 to {LARGEST}")
        for key, value in counts.items()
        if not 1 <= value <= LARGEST
    ]
    if (question.batch is None) == (question.concurrency is None):
        found.append(Problem("--batch", "", "give either --batch (per attention rank) or --concurrency (in all)"))
    for key, load in (("--batch", question.batch), ("--concurrency", question.concurrency)):
        if load is not None and not (math.isfinite(load) and 0 < load <= LARGEST):
            found.append(Problem(key, "", f"{load} is not a number of requests", f"give more than 0, up to {LARGEST}"))
    if not 0 <= question.cached_share < 1:
        found.append(Problem("--cached-share", "", f"{question.cached_share} is not a share", "give 0 up to below 1"))
    if not 1 <= question.tokens_per_step <= LARGEST_TOKENS_PER_STEP:
        found.append(
            Problem("--tokens-per-step", "", f"{question.tokens_per_step} is not 1 to 16", "1: no speculation")
        )
    return found


def shape_problems(question: EstimateQuestion, model: MoeModel) -> list[Problem]:
    """Find widths that do not divide what they cut."""
    found = []
    if question.tensor_parallel >= 1 and model.attention.heads % question.tensor_parallel:
        message = f"{question.tensor_parallel} does not divide {model.attention.heads} attention heads"
        found.append(Problem("--tp", "", message, "give a divisor"))
    stage = question.tensor_parallel * question.data_parallel
    if question.expert_parallel and (stage % question.expert_parallel or question.expert_parallel > stage):
        message = f"{question.expert_parallel} does not divide the {stage} GPUs of a stage (tp x dp)"
        found.append(Problem("--ep", "", message, "give a divisor"))
    if question.pipeline_parallel > model.layers:
        found.append(Problem("--pp", "", f"{question.pipeline_parallel} stages for {model.layers} layers"))
    return found
