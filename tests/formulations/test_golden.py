"""The mathematics as text: the smallest program of every formulation, compared with the one that was read and agreed.

After a change that is meant, delete the file in ``tests/formulations/lp`` and run the test: it writes the new text,
fails once, and the difference is read in the commit.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from cache_helpers import small_cache
from helpers import tiny_placements
from serving_helpers import candidate, hand_tables

import formulations
from formulations.cache_tiers import CacheProblem
from formulations.dedup_crossing import DedupCrossingProblem
from formulations.group_locality import GroupLocalityProblem
from formulations.lifecycle import MemberTables
from formulations.price_inference import UNKNOWNS, Clue, PriceQuestion
from formulations.price_menu import PriceMenuProblem
from formulations.replica_budget import ReplicaBudgetProblem
from formulations.token_budget import cheapest
from formulations.token_split import TokenSplitProblem
from formulations.valley_filling import ValleyProblem
from planner.costs.scaling import SpendRates
from planner.instance.law import load_law
from planner.solver.matrix import compile_pyomo
from planner.solver.write import write_model

GOLDEN = Path(__file__).parent / "lp"


def smallest(name: str) -> object:
    """Return a problem of one or two choices for a formulation."""
    tables = hand_tables(
        [candidate(2, phase="prefill"), candidate(3)], [[2.0], [1.0]], [3.0], pays_idle=(True,), domains=(2,)
    )
    placement = min((case.problem for case in tiny_placements()), key=lambda p: p.load.size * len(p.slots))
    problems = {
        "fleet": tables,
        "token_split": TokenSplitProblem(
            load=np.array([5.0, 3.0, 2.0]),
            held=np.array([[1, 1], [1, 0], [0, 1]], dtype=bool),
            speed=np.array([1.0, 1.0]),
        ),
        "replica_budget": ReplicaBudgetProblem(
            largest=np.array([[8.0, 5.0], [6.0, 4.0]]), slots=np.array([2, 3]), budget=5, price=0.5
        ),
        "group_locality": GroupLocalityProblem(
            load=np.array([4.0, 2.0, 3.0, 1.0]),
            copies=np.array([2, 1, 1, 1]),
            group=np.array([0, 0, 1, 1]),
            slots=np.array([3, 3]),
            gpus=np.array([1, 1]),
            capacity=np.array([6.0, 6.0]),
            least_pairs=2,
        ),
        "lifecycle": [MemberTables("small", 4.0, tables), MemberTables("large", 3.0, tables)],
        "valley_filling": ValleyProblem(np.array([3.0, 1.0]), 1.0),
        "price_menu": PriceMenuProblem(
            bins=2,
            tiers=2,
            first=np.array([0, 1, 0, 0]),
            last=np.array([0, 1, 1, 1]),
            group=np.array([0, 0, 0, 0]),
            worst=np.array([1.0, 1.5, 3.0, 2.5]),
            value=np.array([1.0, 2.0, 4.0, 5.0]),
        ),
        "dedup_crossing": DedupCrossingProblem(
            classes=np.array([[0, 1], [0, 2], [1, 2]]),
            weight=np.array([2.0, 1.0, 1.0]),
            slots=np.array([2, 2]),
            source_share=np.array([0.5, 0.5]),
        ),
        "token_budget": cheapest(load_law("hoffmann"), SpendRates(per_token=6.0, rl=0.0, serving=2e12), 2.0),
    }
    problems["price_inference"] = PriceQuestion(
        clues=(Clue("input_price", 2e-6, 0.1), Clue("context_step", 2e5, 0.1)),
        flop_per_s={1.0: 4.5e15},
        hbm_bytes_per_s=8e12,
        usd_per_gpu_s=1 / 1800,
        gpus=1,
        typical_context_tokens=4000.0,
        bounds=dict.fromkeys(UNKNOWNS, (1e-3, 1e15)),
        large_batch=True,
    )
    problems["cache_tiers"] = CacheProblem(small_cache(), 1.0, 3e9, (2.0,), 0.01)
    return problems.get(name, placement)


@pytest.mark.parametrize("name", formulations.FORMULATIONS)
def test_the_smallest_program_reads_as_agreed(name: str, tmp_path: Path) -> None:
    """Rows, columns, coefficients and bounds are those of the agreed text."""
    path = tmp_path / f"{name}.lp"
    write_model(compile_pyomo(formulations.get(name).build(smallest(name)).model).matrix, path)
    agreed = GOLDEN / path.name
    if not agreed.exists():
        agreed.parent.mkdir(exist_ok=True)
        agreed.write_text(path.read_text())
        pytest.fail(f"{agreed.name} was written: read it, and run again")
    assert rounded(path.read_text()) == rounded(agreed.read_text())


def rounded(text: str) -> str:
    """Round every coefficient to nine digits, which no machine's arithmetic disputes."""
    return re.sub(r"(?<![\w.])[+-]?\d+\.\d+(e[+-]?\d+)?", _nine_digits, text)


def _nine_digits(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value if abs(value) > 1e-12 else 0.0:+.9g}"


def test_no_text_is_left_over() -> None:
    """Every agreed text belongs to a registered formulation."""
    assert {path.stem for path in GOLDEN.glob("*.lp")} == set(formulations.FORMULATIONS)
