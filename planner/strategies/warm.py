"""Fill numba's cache at set-up: ``python -m planner.strategies.warm``."""

from __future__ import annotations

import numpy as np

from planner.strategies.api import place
from planner.strategies.layer_proof import LayerProof
from planner.strategies.problem import PlacementRequest
from planner.strategies.replan import budgeted, settled
from planner.strategies.routing import TokenRouting
from planner.strategies.traffic_aim import TrafficAim


def main() -> None:
    """Run every compiled path once on a tiny table, so that the first real placement does not wait for the compiler."""
    load = np.random.default_rng(0).lognormal(0.0, 1.0, (2, 1, 12))
    place(load[0], 6, 3, gap=0.0, prove=True)
    place(load[0], 8, 2, gap=0.0)
    place(load, 6, 3, gap=0.0)
    plan = place(load, 6, 3, gap=0.0, gpus_per_node=2, dispatch="nearest")
    request = PlacementRequest(load[1:], 6, 3, gap=0.0)
    budgeted(request, plan.physical_to_logical_map, 0.1)
    settled(request, plan.physical_to_logical_map[:, ::-1].copy(), plan)
    place(load[0], 6, 3, strategy="matheuristic", gpus_per_node=2, router_groups=4)
    routing = TokenRouting.drawn(load[0], 3, 20, seed=0)
    place(routing.load(12), 6, 3, strategy="coactivation", gpus_per_node=2, traffic=TrafficAim(routing))
    LayerProof(load[0, 0], 6, 3).try_limit(load.max(), seconds=1.0, seed=0)


if __name__ == "__main__":
    main()
