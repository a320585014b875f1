"""Plan mixture-of-experts serving and training at least total compute cost, with a proven bound beside every answer.

The verbs of the command line as functions; each is imported when it is first used:
``load_case, solve, evaluate, compare, sweep, place, rebalance_experts`` and the class ``Topology``.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "load_case": ("planner.instance.loading_case", "load_case"),
    "solve": ("planner.studies.plan_case", "plan_case"),
    "solve_case": ("planner.studies.api", "solve_case"),
    "evaluate": ("planner.judge.judge", "judge"),
    "compare": ("planner.studies.compare", "compare_strategies"),
    "sweep": ("planner.studies.sweeps.run", "run_sweep"),
    "place": ("planner.strategies.api", "place"),
    "rebalance_experts": ("planner.strategies.api", "rebalance_experts"),
    "Topology": ("planner.topology.topology", "Topology"),
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module 'planner' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
