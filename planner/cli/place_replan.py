"""`planner place` from a running map, after losses, and with a target: options, reading, and what they add."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from planner.strategies.migration import Links, Migration, Verdict
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

    Run = Callable[[PlacementRequest], PlacementResult]

COMMAND = "command line"

PreviousOption = Annotated[
    Path | None, typer.Option(help="Map that runs now, of any engine, or its folder; plan from it.")
]
MaxMovedOption = Annotated[
    float | None, typer.Option(help="Most slots of a layer that may move, as a fraction; needs --previous.")
]
RemainingOption = Annotated[
    float | None,
    typer.Option(help="Seconds of MoE-bound work until the next plan; a plan that does not pay by then is not taken."),
]
ExpertBytesOption = Annotated[
    str | None, typer.Option(help='Weights of one expert of a layer, such as "44 MB"; default: from --model.')
]
MoveOverheadOption = Annotated[
    float, typer.Option(help="Seconds that taking a new map costs beside the links, as measured on the engine.")
]
MaxChangedOption = Annotated[int | None, typer.Option(help="Most layers that may change; needs --previous.")]
SurviveOption = Annotated[str | None, typer.Option(help="gpu or node: any one may be lost and no expert with it.")]
TargetBalanceOption = Annotated[
    float | None, typer.Option(help="Find the fewest redundant experts that reach this mean balance.")
]


@dataclass
class Replan:
    """What the command line says, and the running map once it is read."""

    previous: Path | None = None
    max_moved: float | None = None
    remaining_s: float | None = None
    expert_bytes: str | None = None
    move_overhead_s: float = 0.0
    max_changed_layers: int | None = None
    survive: str | None = None
    target_balance: float | None = None
    model: str | None = None
    hardware: str | None = None
    running: NDArray[np.int64] | None = None
    """Running map, shape [layer, slots before]."""

    def problems(self, *, slots_given: bool, strategy: str | None, dead: str = "") -> list[Problem]:
        """List combinations and numbers that make no sense."""
        found = [*self._number_problems(), *self._previous_problems(strategy)]
        if self.survive is not None and self.survive not in ("gpu", "node"):
            found.append(Problem(COMMAND, "--survive", f"is {self.survive!r}", "give gpu or node"))
        if self.survive is not None and strategy not in (None, "local_search"):
            found.append(Problem(COMMAND, "--survive", f"not with --strategy {strategy}", "leave --strategy out"))
        for key, other in (("--survive", self.survive), ("--target-balance", self.target_balance)):
            if other is not None and self.previous is not None:
                message = "given beside --previous: it chooses all copies anew"
                found.append(Problem(COMMAND, key, message, "give one of the two"))
        if self.target_balance is not None and (slots_given or self.survive is not None):
            message = "finds the slots itself, but slots, redundant experts or --survive are given"
            found.append(Problem(COMMAND, "--target-balance", message, "give one of them"))
        return found

    def _number_problems(self) -> list[Problem]:
        found = []
        for key, fraction in (("--max-moved", self.max_moved), ("--target-balance", self.target_balance)):
            if fraction is not None and not 0 <= fraction <= 1:
                found.append(Problem(COMMAND, key, f"is {fraction}, must be a fraction from 0 to 1"))
        for key, value in (("--remaining", self.remaining_s), ("--move-overhead", self.move_overhead_s)):
            if value is not None and not 0 <= value < float("inf"):
                found.append(Problem(COMMAND, key, f"is {value}, must be seconds from 0"))
        if self.max_changed_layers is not None and self.max_changed_layers < 0:
            found.append(Problem(COMMAND, "--max-changed-layers", f"is {self.max_changed_layers}, must be from 0"))
        return found

    def _previous_problems(self, strategy: str | None) -> list[Problem]:
        found = []
        if self.previous is None:
            for key, given in (
                ("--max-moved", self.max_moved is not None),
                ("--remaining", self.remaining_s is not None),
                ("--max-changed-layers", self.max_changed_layers is not None),
                ("--expert-bytes", self.expert_bytes is not None),
                ("--move-overhead", self.move_overhead_s != 0),
            ):
                if given:
                    found.append(Problem(COMMAND, key, "without --previous", "give the map that runs now"))
            return found
        if self.max_moved is not None and strategy not in (None, "local_search"):
            message = f"strategy {strategy} places without regard to a running map"
            found.append(Problem(COMMAND, "--max-moved", message, "leave --strategy out"))
        if self.remaining_s is not None and not self.priced and self.move_overhead_s == 0:
            message = "needs the price of a move"
            remedy = "give --hardware with --model or --expert-bytes, or --move-overhead"
            found.append(Problem(COMMAND, "--remaining", message, remedy))
        return found

    @property
    def priced(self) -> bool:
        """Whether moves have a price by link."""
        return self.hardware is not None and (self.model is not None or self.expert_bytes is not None)

    def read(self, load: NDArray[np.float64], gpus: int, problems: list[Problem]) -> None:
        """Read the running map, in any form, and check that it belongs to the loads [scenario, layer, expert].

        Experts without a copy will be put back.
        """
        import numpy as np

        from planner.exchange.any_map import read_any_map
        from planner.exchange.maps import map_problems

        if self.previous is None or gpus < 1:
            return
        dense = np.asarray(~(load > 0).any(axis=(0, 2)))
        try:
            running = read_any_map(self.previous, gpus=gpus, dense_layers=dense).rows
        except InstanceError as error:
            problems.extend(error.problems)
            return
        found = map_problems(running, load.shape[2], gpus, load.shape[1], str(self.previous))
        problems.extend(problem for problem in found if not problem.message.startswith("no copy of expert"))
        self.running = running

    def default_slots(
        self, experts: int, gpus: int, dead: set[int], gpus_per_node: int | None
    ) -> NDArray[np.int64] | None:
        """Slots of each GPU where neither slots nor redundancy are given: as before, or the fewest that survive."""
        import numpy as np

        from planner.strategies.coverage import least_slots

        alive = ~np.isin(np.arange(gpus), sorted(dead))
        if self.running is not None:
            held = (self.running.reshape(len(self.running), gpus, -1) >= 0).sum(axis=2).max(axis=0)
            return np.where(alive, held, 0).astype(np.int64)
        if self.survive is None:
            return None
        domain = np.arange(gpus) if self.survive == "gpu" else np.arange(gpus) // (gpus_per_node or gpus)
        least = least_slots(experts, gpus, alive.astype(np.int64), domain)
        return None if least is None else np.where(alive, least, 0).astype(np.int64)

    def links(self, gpus_per_node: int | None) -> Links | None:
        """Read the links and the size of an expert, where given.

        The scale-up domain is that of the hardware; where nodes of another size are given, a node.
        """
        from planner.instance.loading import load_accelerator, load_model
        from planner.instance.quantities import PRECISION_BYTES
        from planner.strategies.migration import Links
        from planner.units import parse

        if not self.priced or self.hardware is None:
            return None
        chip = load_accelerator(self.hardware)
        if self.expert_bytes is not None:
            try:
                size = parse(self.expert_bytes, "bytes")
            except ValueError as error:
                raise InstanceError.single(COMMAND, "--expert-bytes", str(error), 'such as "44 MB"') from None
        else:
            model = load_model(str(self.model))
            size = model.expert_params * PRECISION_BYTES[model.weights.routed_experts]
        if not size > 0:
            raise InstanceError.single(COMMAND, "--expert-bytes", f"is {size:g}, must be above 0")
        whole = gpus_per_node is None or gpus_per_node == chip.gpus_per_host
        domain = chip.scale_up_domain_gpus if whole or gpus_per_node is None else gpus_per_node
        return Links(
            size,
            chip.scale_up_bytes_per_s,
            chip.scale_up_latency_s,
            chip.scale_out_bytes_per_s,
            chip.scale_out_latency_s,
            domain,
        )


@dataclass
class Answer:
    """A plan and what goes with it."""

    request: PlacementRequest
    result: PlacementResult
    report: dict[str, Any]
    migration: Migration | None = None


def plan(replan: Replan, request: PlacementRequest, run: Run, gpus_per_node: int | None, *, lost: bool) -> Answer:
    """Plan as the options say; without any of them as ``run`` does.

    Parameters
    ----------
    run
        Places a request without regard to a running map.
    lost
        Whether GPUs were named as dead: without a budget or a price the smallest repair is made.
    """
    from planner.strategies.coverage import coverage

    if replan.target_balance is not None:
        answer = _reach(replan.target_balance, request, run)
    elif replan.survive is not None:
        answer = Answer(request, _survive(request, replan.survive), {})
    elif replan.running is not None:
        answer = _from_running(replan, request, run, replan.running, gpus_per_node, lost=lost)
    else:
        answer = Answer(request, run(request), {})
    answer.report["coverage"] = coverage(answer.request, answer.result.physical_to_logical_map)
    return answer


def _survive(request: PlacementRequest, survive: str) -> PlacementResult:
    from planner.strategies.survival import surviving

    return surviving(request, "gpu" if survive == "gpu" else "node")


def _reach(target: float, request: PlacementRequest, run: Run) -> Answer:
    from planner.strategies.target_balance import reach_balance

    chosen, result, steps = reach_balance(request, target, run)
    lower = steps[-1] if steps else None
    report = {
        "balance": target,
        "redundant": int(chosen.slots.sum()) - chosen.experts,
        "slots_per_gpu": int(chosen.slots.max()),
        "next_lower": None
        if lower is None
        else {
            "redundant": lower.redundant,
            "bound_mean": lower.bound_mean,
            "balance_mean": lower.balance_mean,
            "proven_short": lower.proven_short(target),
        },
    }
    return Answer(chosen, result, {"target": report})


def _from_running(
    replan: Replan,
    request: PlacementRequest,
    run: Run,
    running: NDArray[np.int64],
    gpus_per_node: int | None,
    *,
    lost: bool,
) -> Answer:
    """Plan from the running map: within a budget, at a price, the smallest repair, or anew with few moves."""
    from planner.strategies import changed_layers
    from planner.strategies import replan as replanning
    from planner.strategies.migration import plan_migration
    from planner.strategies.priced_replan import priced

    links = replan.links(gpus_per_node)
    if replan.max_moved is not None or (lost and replan.remaining_s is None):
        result = replanning.budgeted(request, running, replan.max_moved or 0.0)
    elif replan.remaining_s is not None and links is not None:
        result = priced(request, running, links, replan.remaining_s)
    else:
        result = replanning.settled(request, running, run(request))
    if replan.max_changed_layers is not None:
        result = changed_layers.limited(request, running, result, replan.max_changed_layers)
    migration = plan_migration(request, running, result.physical_to_logical_map, links)
    verdict = None
    if replan.remaining_s is not None:
        result, verdict = _judge(replan, request, running, result, migration)
        if not verdict.pays:
            migration = plan_migration(request, running, result.physical_to_logical_map, links)
    return Answer(request, result, _moves_report(request, running, result, migration, verdict), migration)


def _judge(
    replan: Replan,
    request: PlacementRequest,
    running: NDArray[np.int64],
    result: PlacementResult,
    migration: Migration,
) -> tuple[PlacementResult, Verdict]:
    """Take the plan only if it pays; a map that lost experts must change, whatever it costs."""
    from planner.strategies.changed_layers import unmoved
    from planner.strategies.migration import Verdict
    from planner.strategies.running_map import layer_seconds_share

    base = unmoved(request, running)
    before, after = (
        float(layer_seconds_share(request, rows).sum())
        for rows in (base.physical_to_logical_map, result.physical_to_logical_map)
    )
    cost = (migration.seconds or 0.0) + (replan.move_overhead_s if migration.moves else 0.0)
    verdict = Verdict(before, after, cost, replan.remaining_s or 0.0)
    return (result if verdict.pays else base), verdict


def _moves_report(
    request: PlacementRequest,
    running: NDArray[np.int64],
    result: PlacementResult,
    migration: Migration,
    verdict: Verdict | None,
) -> dict[str, Any]:
    from planner.strategies.moves import moved_slots
    from planner.strategies.running_map import still_valid

    moe = ~request.dense_layers
    moved = moved_slots(running, result.physical_to_logical_map, request.gpus)[moe] / int(request.slots.sum())
    rounds = [len(entry) for entry in migration.rounds.values()]
    report: dict[str, Any] = {
        "moved_fraction": float(moved.mean()),
        "migration": {
            "moved_fraction_worst": float(moved.max()),
            "changed_layers": sorted(migration.rounds),
            "moves": len(migration.moves),
            "from_storage": migration.from_storage,
            "rounds": sum(rounds),
            "rounds_worst_layer": max(rounds, default=0),
            "experts_aside": migration.aside,
            "bytes": None if migration.links is None else len(migration.moves) * migration.links.expert_bytes,
            "seconds": migration.seconds,
        },
        "decision": None,
    }
    if verdict is not None:
        whole = bool(still_valid(request, running)[moe].all())
        report["decision"] = {
            "keep_running_map": whole and not verdict.pays,
            "repair_only": not whole and not verdict.pays,
            "gain_fraction": verdict.gain_fraction,
            "gain_s": verdict.gain_s,
            "migration_s": verdict.migration_s,
            "remaining_s": verdict.remaining_s,
            "break_even_s": verdict.break_even_s,
        }
    return report


def write(answer: Answer, out: Path | None) -> None:
    """Write the moves beside the map and name the file in the report."""
    from planner.exchange.move_list import write_moves

    if answer.migration is not None:
        path = None if out is None else os.path.relpath(write_moves(out, answer.migration))
        answer.report["migration"]["path"] = path
