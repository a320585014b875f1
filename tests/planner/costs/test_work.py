"""One set of step formulas for tables of one model and for rows of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.layout import Layouts
from planner.costs.step import Machine, decode_terms, prefill_terms
from planner.costs.work import Work, concatenate
from planner.instance.loading import load_accelerator, load_model
from planner.instance.resolve import load_calibration

if TYPE_CHECKING:
    from planner.instance.calibration import Calibration

CASES = (("deepseek-v3", "h200"), ("mixtral-8x7b", "h100"), ("gpt-oss-120b", "b200"))


@dataclass(frozen=True)
class Rows:
    work: Work
    calibration: Calibration
    overlap_share: float
    imbalance: np.ndarray


def layouts(experts: int) -> Layouts:
    """Three ways to cut a model over eight GPUs."""
    columns = [np.array(values, dtype=np.int64) for values in ((1, 2, 8), (8, 4, 1), (1, 1, 1), (8, 8, 1))]
    return Layouts(*columns, np.array([-(-experts // 8), -(-experts // 8), experts]), 8)


def machines() -> list[Machine]:
    """Each model on its chip."""
    calibration = load_calibration("hand_set")
    found = []
    for model_name, chip in CASES:
        model = load_model(model_name)
        cut = layouts(model.routed_experts)
        found.append(Machine(model, load_accelerator(chip), calibration, 0.33, cut, np.ones((3, 1))))
    return found


def test_rows_of_many_models_cost_what_each_table_says() -> None:
    """Joined in any order, rows of three models on three chips keep the step times of their own tables."""
    tables = machines()
    order = np.array([8, 0, 4, 2, 6, 1, 3, 5, 7])
    rows = Rows(concatenate([table.work for table in tables], order), tables[0].calibration, 0.33, np.ones((9, 1)))
    batch, context = np.arange(9.0) + 1.0, np.linspace(100.0, 9e3, 9)
    back = np.argsort(order)
    alone = [
        decode_terms(table, batch[back][3 * at : 3 * at + 3], context[back][3 * at : 3 * at + 3])
        for at, table in enumerate(tables)
    ]
    joined = decode_terms(rows, batch, context)
    np.testing.assert_allclose(joined.stage_s, np.concatenate([terms.stage_s for terms in alone])[order], rtol=1e-12)
    prompts = prefill_terms(rows, batch, context, context)
    assert (prompts.stage_s > 0).all()


def test_a_prompt_wholly_cached_has_no_attention() -> None:
    """Nothing new to compute: no query-key pair, with and without a sliding window."""
    for table in machines():
        none = prefill_terms(table, np.ones(3), 1000.0, 0.0)
        np.testing.assert_array_equal(none.attention, 0.0)
