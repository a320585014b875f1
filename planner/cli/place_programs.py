"""`planner place` with programs around the search: groups on few nodes, token split, slots under one budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.cli.place_replan import Answer, Replan
    from planner.cli.place_slots import Slots
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.proof import Effort
    from planner.strategies.result import PlacementResult

    Run = Callable[[PlacementRequest], PlacementResult]

COMMAND = "command line"
DEFAULT_TOLERANCE = 0.02

RouterGroupsOption = Annotated[
    int, typer.Option(help="Groups of the router (DeepSeek-V3: 8), kept on few nodes; needs --gpus-per-node.")
]
NodeToleranceOption = Annotated[
    float | None,
    typer.Option(help="Load over the bound that the fullest GPU may have for fewer nodes a group; default 0.02."),
]
TokenSplitOption = Annotated[
    bool, typer.Option("--token-split", help="Also say what balance an engine reaches that splits tokens by an LP.")
]
SlotBudgetOption = Annotated[
    int | None,
    typer.Option(help="Slots of a GPU summed over all layers, spent where they gain most; narrow rows end in -1."),
]


@dataclass(frozen=True)
class Programs:
    """What the command line says."""

    router_groups: int = 1
    node_tolerance: float | None = None
    token_split: bool = False
    slot_budget: int | None = None

    def problems(self, gpus_per_node: int | None, others: dict[str, bool]) -> list[Problem]:
        """List numbers and combinations that make no sense.

        ``others`` tells of options that settle slots in another way whether they are given.
        """
        found = []
        if self.router_groups < 1:
            found.append(Problem(COMMAND, "--router-groups", f"is {self.router_groups}, must be at least 1"))
        if self.router_groups > 1 and gpus_per_node is None:
            found.append(Problem(COMMAND, "--router-groups", "without --gpus-per-node", "give both"))
        if self.node_tolerance is not None and not 0 <= self.node_tolerance < 1:
            message = f"is {self.node_tolerance}, must be a fraction from 0 to below 1"
            found.append(Problem(COMMAND, "--node-tolerance", message))
        if self.node_tolerance is not None and self.router_groups == 1:
            found.append(Problem(COMMAND, "--node-tolerance", "without --router-groups", "give both"))
        if self.slot_budget is not None:
            if self.slot_budget < 1:
                found.append(Problem(COMMAND, "--slot-budget", f"is {self.slot_budget}, must be at least 1"))
            found += [
                Problem(COMMAND, "--slot-budget", f"given beside {name}", "give one of the two")
                for name, given in others.items()
                if given
            ]
        return found

    @property
    def default_strategy(self) -> str | None:
        """The strategy that looks at groups, where there are any."""
        return "matheuristic" if self.router_groups > 1 else None

    @property
    def request_fields(self) -> dict[str, Any]:
        """Fields of the request."""
        tolerance = DEFAULT_TOLERANCE if self.node_tolerance is None else self.node_tolerance
        return {"router_groups": self.router_groups, "locality_tolerance": tolerance}

    def effort(self, effort: Effort, strategy: str) -> Effort | None:
        """Prove nothing more where groups are tied to nodes: the gap left is the price of locality, not of proof.

        Nor under a slot budget, where placements are made that are not taken: their bounds are the fast ones.
        """
        local = strategy == "matheuristic" and self.router_groups > 1
        return None if local or self.slot_budget is not None else effort


def slot_ways(given: Slots, replan: Replan) -> dict[str, bool]:
    """Options that settle slots, and whether they are given."""
    return {
        "--slots-per-gpu": given.slots_per_gpu is not None,
        "--redundant": given.redundant is not None,
        "--previous": replan.previous is not None,
        "--survive": replan.survive is not None,
        "--target-balance": replan.target_balance is not None,
    }


def plan(programs: Programs, request: PlacementRequest, run: Run, otherwise: Callable[[], Answer]) -> Answer:
    """Plan under a slot budget where there is one, else as ``otherwise`` does; add what was asked to the report."""
    from planner.cli.place_replan import Answer
    from planner.strategies.coverage import coverage
    from planner.strategies.slot_budget import place_with_budget

    if programs.slot_budget is None:
        answer = otherwise()
    else:
        found = place_with_budget(request, programs.slot_budget, run)
        report = {
            "slots_per_layer": found.slots_per_layer.tolist(),
            "slot_budget": {
                "budget": programs.slot_budget,
                "used": int(found.slots_per_layer.sum()),
                "largest_load_sum": found.largest_load_sum,
                "bound": found.bound,
                "uniform_load_sum": found.uniform_load_sum,
            },
            "coverage": coverage(found.request, found.result.physical_to_logical_map),
        }
        answer = Answer(found.request, found.result, report)
    rows = answer.result.physical_to_logical_map
    if programs.token_split:
        answer.report |= _split_report(answer.request, rows)
    if programs.router_groups > 1:
        answer.report |= _locality_report(answer.request, answer.result)
    return answer


def _split_report(request: PlacementRequest, rows: Any) -> dict[str, Any]:  # noqa: ANN401 - a map
    from planner.strategies.result import mean_over
    from planner.strategies.token_split import token_split_balance

    balance = token_split_balance(request, rows)
    return {
        "token_split_balance": float(mean_over(balance)),
        "token_split_scenario_balance": mean_over(balance, axis=1).tolist(),
    }


def _locality_report(request: PlacementRequest, result: PlacementResult) -> dict[str, Any]:
    """Pairs in use, the fewest that the balance reached allows, and the best balance that the pairs in use allow."""
    import numpy as np

    from planner.strategies.locality import pairs_of, proven_locality

    if request.experts % request.router_groups:
        return {}
    pairs = pairs_of(result.physical_to_logical_map, request)[~request.dense_layers]
    least, bound = proven_locality(request, result)
    return {
        "group_node_pairs_mean": float(pairs.mean()),
        "group_node_pairs_least_mean": None if least is None else float(np.mean(least)),
        "group_node_bound_mean": None if bound is None else float(np.mean(bound)),
    }


def text(report: dict[str, Any]) -> list[str]:
    """Lines for people."""
    lines = []
    if "group_node_pairs_mean" in report:
        line = f"(group, node) pairs  mean {report['group_node_pairs_mean']:.2f}"
        if report["group_node_pairs_least_mean"] is not None:
            line += f"  fewest for this balance {report['group_node_pairs_least_mean']:.2f}"
            line += f"  best balance with these pairs {report['group_node_bound_mean']:.4f}"
        lines.append(line)
    if "token_split_balance" in report:
        lines.append(f"balance if the engine splits tokens by a linear program  {report['token_split_balance']:.4f}")
    if "slot_budget" in report:
        budget = report["slot_budget"]
        saved = 1.0 - budget["largest_load_sum"] / budget["uniform_load_sum"] if budget["uniform_load_sum"] else 0.0
        lines.append(
            f"slots  {budget['used']} of {budget['budget']} over all layers; sum of largest loads "
            f"{100 * saved:.1f} % below a spread without a look at the layers"
        )
    return lines
