"""Fill numba's cache at set-up: ``python -m planner.strategies.warm``."""

from __future__ import annotations

import numpy as np

from planner.strategies.api import place
from planner.strategies.layer_proof import LayerProof


def main() -> None:
    """Run every compiled path once on a tiny table, so that the first real placement does not wait for the compiler."""
    load = np.random.default_rng(0).lognormal(0.0, 1.0, (2, 1, 12))
    place(load[0], 6, 3, gap=0.0, prove=True)
    place(load[0], 8, 2, gap=0.0)
    place(load, 6, 3, gap=0.0)
    place(load, 6, 3, gap=0.0, gpus_per_node=2, dispatch="nearest")
    LayerProof(load[0, 0], 6, 3).try_limit(load.max(), seconds=1.0, seed=0)


if __name__ == "__main__":
    main()
