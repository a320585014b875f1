"""The busiest GPU's load of each layer, for every number of ranks and slots: proven bound, or achieved by search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.plan import map_key
from planner.strategies import STRATEGIES
from planner.strategies.bounds import imbalance_lower_bound
from planner.strategies.problem import PlacementRequest
from planner.studies.shelf import PlacementShelf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.instance.instance import Instance
    from planner.strategies.result import PlacementResult

Key = tuple[int, int]


class ImbalanceBook:
    """Bounds and placements of one instance, each computed once.

    A key is (expert_parallel, slots_per_gpu). ``optimistic`` never exceeds what any placement can reach, so tables
    built from it give a valid lower bound on the whole; ``current`` uses what a search achieved where there is one.
    ``shelf`` holds placements of earlier instances.
    """

    def __init__(
        self,
        instance: Instance,
        seed: int = 0,
        strategy: str = "local_search",
        shelf: PlacementShelf | None = None,
    ) -> None:
        self.instance = instance
        self.seed = seed
        self.strategy = strategy
        self.shelf = PlacementShelf() if shelf is None else shelf
        self.placements: dict[Key, PlacementResult] = {}
        self._bounds: dict[Key, NDArray[np.float64]] = {}

    def optimistic(self, expert_parallel: int, slots_per_gpu: int) -> NDArray[np.float64]:
        """Lower bound on busiest over mean load [moe_layer]."""
        key = expert_parallel, slots_per_gpu
        if key not in self._bounds:
            self._bounds[key] = imbalance_lower_bound(self.instance.expert_load, *key)
        return self._bounds[key]

    def current(self, expert_parallel: int, slots_per_gpu: int) -> NDArray[np.float64]:
        """Achieved busiest over mean load [moe_layer]; the bound where nothing has been placed yet."""
        placed = self.placements.get((expert_parallel, slots_per_gpu))
        return self.optimistic(expert_parallel, slots_per_gpu) if placed is None else 1.0 / placed.balance

    def place(self, key: Key, *, hurried: bool = False) -> None:
        """Search a placement for one key, if there is none yet; in a hurry pack only, and keep that off the shelf."""
        if key in self.placements:
            return
        request = self.request(key)
        known = self.shelf.get(request, self.strategy)
        asked = replace(request, time_limit_s=0.0) if hurried else request
        self.placements[key] = STRATEGIES[self.strategy].place(asked) if known is None else known
        if known is None and not hurried:
            self.shelf.put(request, self.placements[key])

    def request(self, key: Key) -> PlacementRequest:
        """Placement question of one key."""
        return PlacementRequest(
            load=self.instance.expert_load[None],
            gpus=key[0],
            slots_per_gpu=key[1],
            router_groups=self.instance.model.router_groups,
            seed=self.seed,
        )

    def expert_maps(self, keys: set[Key]) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Return the maps of some keys in the form that a plan holds."""
        return {
            map_key(*key): tuple(tuple(row) for row in self.placements[key].physical_to_logical_map.tolist())
            for key in sorted(keys)
        }
