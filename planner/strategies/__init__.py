"""Ways to place experts on GPUs, each one file, behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.strategies.coactivation import CoActivation
from planner.strategies.contiguous import Contiguous
from planner.strategies.domain import Domain
from planner.strategies.eplb import Eplb
from planner.strategies.exact import Exact
from planner.strategies.local_search import LocalSearch
from planner.strategies.matheuristic import Matheuristic
from planner.strategies.multi_scenario_greedy import MultiScenarioGreedy
from planner.strategies.round_robin import RoundRobin
from planner.strategies.zigzag import Zigzag

if TYPE_CHECKING:
    from planner.strategies.strategy import Strategy

_ALL: tuple[Strategy, ...] = (
    Contiguous(),
    RoundRobin(),
    Zigzag(),
    Eplb(),
    MultiScenarioGreedy(),
    LocalSearch(),
    Domain(),
    Exact(),
    Matheuristic(),
    CoActivation(),
)

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in _ALL}
"""Every strategy by name. A new one is one file and one entry in ``_ALL``."""
