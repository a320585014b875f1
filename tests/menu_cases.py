"""Small price menus for tests, and their costs added up token by token."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from planner.instance.menu_case import MenuCase

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL: dict[str, Any] = {
    "name": "small",
    "title": "A small menu",
    "tiers": 2,
    "model": {"active_params": 1e11, "total_params": 8e11, "kv_bytes_per_token": 1500.0, "attention_tokens": 5e5},
    "machine": {"hardware": "nvl72_nominal", "usd_per_gpu_hour": 2.0, "gpus": 72},
    "grid": {"ratio": 1.25},
    "answers": {"least": 2, "most": 60},
    "services": {"batch_over_balance": 2.5},
    "day": {"mean": 10.0, "peak": 10.0, "running_share": 1.0},
    "bins": [
        {"up_to_tokens": 1000, "requests_per_s": 3.0, "output_tokens": 20},
        {"up_to_tokens": 300000, "requests_per_s": 2.0, "output_tokens": 30},
        {"up_to_tokens": 600000, "requests_per_s": 1.0, "output_tokens": 40},
    ],
    "sources": {"all": "made up for a test"},
}


def data(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a TOML document
    """Return the small menu as a document with top-level keys replaced."""
    return copy.deepcopy(SMALL) | changes


def case_of(**changes: Any) -> MenuCase:  # noqa: ANN401
    """Return the small menu with top-level keys replaced."""
    return MenuCase.model_validate(data(**changes))


def bins(
    edges: Sequence[int], rates: Sequence[float], output: float, worth: Sequence[float] | None = None
) -> list[Any]:
    """Return bins of a histogram."""
    rows: list[dict[str, Any]] = [
        {"up_to_tokens": edge, "requests_per_s": rate, "output_tokens": output}
        for edge, rate in zip(edges, rates, strict=True)
    ]
    for row, usd in zip(rows, worth or (), strict=False):
        row["reservation_usd"] = usd
    return rows


def floor_usd(case: MenuCase) -> float:
    """USD of a token at the compute floor: 2 N / 4.5e15 FLOP/s at the price of a GPU-second."""
    assert case.model.active_params is not None
    return 2 * case.model.active_params / 4.5e15 * case.machine.usd_per_gpu_hour / 3600


def input_by_token(case: MenuCase, prompt: int) -> float:
    """Prefill of a prompt, every 500th token priced: token x attends to x before it."""
    attention = case.model.attention_tokens or math.inf
    step = max(1, prompt // 500)
    blocks = [(start, min(start + step, prompt)) for start in range(0, prompt, step)]
    return floor_usd(case) * sum((end - start) * (1 + (start + end) / 2 / attention) for start, end in blocks)


def output_by_token(case: MenuCase, prompt: float, answer: int, batch: float) -> float:
    """Answer token by token, each at the larger of arithmetic and reading: weights shared by the batch, KV its own.

    Compute per token 2 N / F; a batch of b B* reads w N_total / W for weights, where B* = rho sigma.
    """
    model = case.model
    assert model.active_params is not None
    assert model.total_params is not None
    assert model.kv_bytes_per_token is not None
    compute_s = 2 * model.active_params / 4.5e15
    sequences = batch * (4.5e15 / 2 / 8e12) * model.total_params / model.active_params
    usd_per_s = case.machine.usd_per_gpu_hour / 3600
    return sum(
        usd_per_s
        * max(
            compute_s,
            (model.total_params / sequences + (prompt + token + 0.5) * model.kv_bytes_per_token) / 8e12,
        )
        for token in range(answer)
    )
