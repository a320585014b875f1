"""The figures `planner place` reports, as one JSON-ready dictionary (contract: DESIGN, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.strategies.result import mean_over
from planner.strategies.traffic import remote_share

if TYPE_CHECKING:
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult


def summary(request: PlacementRequest, result: PlacementResult, map_path: str | None) -> dict[str, Any]:
    """Sum up a placement; dense layers stand in ``layers`` with NaN (null in JSON) and are left out of every mean.

    ``destinations_per_token`` needs the router's top-k, which load files do not hold, and ``moved_fraction`` an
    earlier map: both are ``None`` here.
    """
    return {
        "layers": [
            {"layer": layer, "balance": float(balance), "bound": float(bound), "gap": float(gap)}
            for layer, (balance, bound, gap) in enumerate(zip(result.balance, result.bound, result.gap, strict=True))
        ],
        "balance_mean": float(mean_over(result.balance)),
        "balance_min": float(np.nanmin(result.balance)),
        "bound_mean": float(mean_over(result.bound)),
        "gap_mean": float(mean_over(result.gap)),
        "scenario_balance": result.scenario_balance.tolist(),
        "remote_share": remote_share(request, result.physical_to_logical_map),
        "destinations_per_token": None,
        "moved_fraction": None,
        "seconds": result.seconds,
        "map_path": map_path,
    }
