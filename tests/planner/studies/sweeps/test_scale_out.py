"""The shipped sweep of two racks, four of its points: what slower links and longer documents cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.instance.sweep import Range
from planner.studies.sweeps.run import load_sweep, run_sweep

if TYPE_CHECKING:
    from pathlib import Path


def test_slower_links_and_longer_documents_never_cost_less(tmp_path: Path) -> None:
    """Corners of the small sweep on two workers: certified to 1 %, dearer rows where less is possible."""
    spec = load_sweep("nvl72_scale_out_small").model_copy(
        update={
            "range": {"scale_out_ratio": Range(start=4, stop=18, points=2)},
            "grid": {"document_tokens": [16384, 40960]},
        }
    )
    answer = run_sweep(spec, tmp_path, workers=2)
    assert (answer["points"], answer["done"], answer["time_limited"]) == (4, 4, 0)
    cost = {}
    for row in answer["rows"]:
        assert row["gap"] <= 0.01
        cost[row["point"]["scale_out_ratio"], row["point"]["document_tokens"]] = (row["bound_usd"], row["cost_usd"])
    for tokens in (16384, 40960):
        assert cost[4, tokens][0] <= cost[18, tokens][1]
    assert cost[4, 16384][1] < cost[4, 40960][0]
