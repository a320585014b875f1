"""`planner place`: expert placement straight from an engine's load file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import (
    complete,
    place_backend,
    place_programs,
    place_replan,
    place_replan_text,
    place_scenarios,
    place_slots,
    place_traffic,
    place_traffic_report,
    place_views,
)
from planner.cli.support import Format, FormatOption, Output, QuietOption, reporting
from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

WORST_SHOWN = 5
MOST_GPUS = 100_000
"""Far beyond any group of expert-parallel ranks; a slip of the finger must not fill the memory."""
PROOF_GAP = 1e-3
"""Gap down to which bounds are proven without --gap."""
PROOF_S = 3.5
"""Seconds from the start after which, without --time-limit, no further bound is raised: the command ends within 5."""
EXAMPLE = "Example: planner place --loads prefill.json --gpus 32 --redundant 32 --out placement"


def place(
    gpus: Annotated[int, typer.Option(help="GPUs (expert-parallel ranks).")],
    loads: Annotated[
        list[Path] | None, typer.Option(help="Load file or folder an engine recorded; repeat it for scenarios.")
    ] = None,
    slots_per_gpu: place_slots.SlotsOption = None,
    redundant: Annotated[int | None, typer.Option(help="Extra experts a layer; default: the fewest that fit.")] = None,
    gpus_per_node: Annotated[int | None, typer.Option(help="GPUs of a node; default: one node.")] = None,
    nodes_per_rack: Annotated[int | None, typer.Option(help="Nodes of a rack.")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="See `planner list strategies`; default: local_search, with routing coactivation.",
            autocompletion=complete.strategies,
        ),
    ] = None,
    dispatch: Annotated[
        str,
        typer.Option(
            help="even: over all copies; nearest: own node, own rack, then all.",
            autocompletion=complete.one_of("even", "nearest"),
        ),
    ] = "even",
    dead: Annotated[str, typer.Option(help="GPUs out of service, such as 3,17.")] = "",
    gpu_speed: Annotated[Path | None, typer.Option(help="Relative speed of each GPU: a JSON list or text.")] = None,
    gap: Annotated[float | None, typer.Option(help="Stop a layer at this gap; prove tighter where it is open.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds to search and to prove with integer programs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    routing: place_traffic.RoutingOption = None,
    traffic_weight: place_traffic.TrafficWeightOption = None,
    balance_floor: place_traffic.BalanceFloorOption = None,
    frontier: place_traffic.FrontierOption = 0,
    model: place_traffic.ModelOption = None,
    hardware: place_traffic.HardwareOption = None,
    tokens_per_gpu: place_traffic.TokensPerGpuOption = None,
    calibration: place_traffic.CalibrationOption = "hand_set",
    prices: place_traffic.PricesOption = None,
    deduplicate: place_traffic.DeduplicateOption = True,
    oversubscription: place_traffic.OversubscriptionOption = 1.0,
    previous: place_replan.PreviousOption = None,
    max_moved: place_replan.MaxMovedOption = None,
    remaining: place_replan.RemainingOption = None,
    expert_bytes: place_replan.ExpertBytesOption = None,
    move_overhead: place_replan.MoveOverheadOption = 0.0,
    max_changed_layers: place_replan.MaxChangedOption = None,
    survive: place_replan.SurviveOption = None,
    target_balance: place_replan.TargetBalanceOption = None,
    router_groups: place_programs.RouterGroupsOption = 1,
    node_tolerance: place_programs.NodeToleranceOption = None,
    token_split: place_programs.TokenSplitOption = False,
    slot_budget: place_programs.SlotBudgetOption = None,
    scenario_weights: place_scenarios.WeightsOption = None,
    cvar_share: place_scenarios.ShareOption = None,
    cvar_weight: place_scenarios.WeightOption = 0.0,
    workers: place_scenarios.WorkersOption = None,
    backend: place_backend.BackendOption = "threads",
    out: Annotated[Path | None, typer.Option(help="Folder for the map file.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Place experts and their copies on GPUs, with a proven bound on the balance of every layer."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import counted_bar
        from planner.strategies.problem import DEFAULT_GAP, PlacementRequest
        from planner.strategies.proof import Effort

        began = time.perf_counter()
        given = place_slots.Slots(slots_per_gpu, redundant, gpus_per_node)
        replan = place_replan.Replan(
            previous,
            max_moved,
            remaining,
            expert_bytes,
            move_overhead,
            max_changed_layers,
            survive,
            target_balance,
            model,
            hardware,
        )
        problems = _option_problems(gpus, gap, time_limit, seed) + given.problems()
        problems += replan.problems(slots_given=given.given, strategy=strategy)
        scenarios = place_scenarios.Scenarios(scenario_weights, cvar_share, cvar_weight, workers)
        problems += scenarios.problems() + place_backend.problems(backend)
        programs = place_programs.Programs(router_groups, node_tolerance, token_split, slot_budget)
        problems += programs.problems(gpus_per_node, place_programs.slot_ways(given, replan))
        if nodes_per_rack is not None and gpus_per_node is None:
            problems.append(Problem("command line", "--nodes-per-rack", "without --gpus-per-node", "give both"))
        options = place_traffic.TrafficOptions(
            routing or [],
            traffic_weight,
            balance_floor,
            frontier,
            model,
            hardware if model is not None or expert_bytes is None else None,
            tokens_per_gpu,
            calibration,
            prices,
            deduplicate,
            oversubscription,
        )
        inputs, slots, speed = _inputs(problems, options, loads or [], gpus, given, dead, gpu_speed, replan)
        chosen = strategy or programs.default_strategy or inputs.default_strategy()
        request = PlacementRequest(
            load=inputs.load,
            gpus=gpus,
            slots_per_gpu=slots,
            gpus_per_node=inputs.node_gpus(gpus, gpus_per_node),
            nodes_per_rack=nodes_per_rack,
            seed=seed,
            time_limit_s=time_limit,
            speed=speed,
            dispatch=dispatch,  # type: ignore[arg-type]  # checked by PlacementRequest
            gap=DEFAULT_GAP if gap is None else gap,
            traffic=inputs.aim(chosen, seed),
            **programs.request_fields,
            **scenarios.request_fields,
        )
        effort = Effort(
            PROOF_GAP if gap is None else gap,
            began + (PROOF_S if time_limit is None else time_limit),
            integer=time_limit is not None,
        )
        with counted_bar("place", shown=not quiet, what="layers") as told:
            place_one = place_backend.placing(backend, workers, chosen, programs.effort(effort, chosen), told)
            answer = place_programs.plan(
                programs,
                request,
                place_one,
                lambda: place_replan.plan(replan, request, place_one, gpus_per_node, lost=bool(dead.strip())),
            )
        _finish(answer, out, output, inputs)


place.__doc__ = f"{place.__doc__}\n\n{EXAMPLE}"


def _finish(answer: place_replan.Answer, out: Path | None, output: Output, inputs: place_traffic.TrafficInputs) -> None:
    """Write the map, print the answer; an interrupted search has both, and then says so by its exit code."""
    from planner.exchange.placement_folder import write_placement
    from planner.strategies.summary import summary

    request, result = answer.request, answer.result
    path = None if out is None else os.path.relpath(write_placement(out, request, result))
    place_replan.write(answer, out)
    for warning in inputs.warnings:
        output.note(f"warning: {warning}")
    _warn(request, result, output.note)
    report = summary(request, result, path) | {"warnings": inputs.warnings}
    report |= place_scenarios.report(request, result)
    report |= place_traffic_report.report(inputs, request, result, out) | answer.report
    place_views.write(out, request, result, report, inputs.top_k)
    output.document(report, lambda: _text(request, report, result.strategy))
    if result.interrupted:
        raise KeyboardInterrupt


def _inputs(
    problems: list[Problem],
    options: place_traffic.TrafficOptions,
    loads: list[Path],
    gpus: int,
    given: place_slots.Slots,
    dead: str,
    gpu_speed: Path | None,
    replan: place_replan.Replan,
) -> tuple[place_traffic.TrafficInputs, NDArray[np.int64], NDArray[np.float64] | None]:
    """Read the files and settle the slots of every GPU; raise all problems together, those found before among them."""
    from planner.exchange.speeds import read_speeds

    out_of_service = _parse_dead(dead, gpus, problems)
    inputs = place_traffic.read(options, loads, gpus, problems)
    speed = None
    if inputs is not None:
        replan.read(inputs.load, gpus, problems)
    try:
        speed = None if gpu_speed is None or not 1 <= gpus <= MOST_GPUS else read_speeds(gpu_speed, gpus)
    except InstanceError as error:
        problems.extend(error.problems)
    if problems or inputs is None:
        raise InstanceError(problems)
    return inputs, given.settle(inputs.load.shape[2], gpus, out_of_service, replan), speed


def _option_problems(gpus: int, gap: float | None, time_limit: float | None, seed: int) -> list[Problem]:
    problems = []
    if not 1 <= gpus <= MOST_GPUS:
        problems.append(Problem("command line", "--gpus", f"is {gpus}, must be from 1 to {MOST_GPUS}"))
    if seed < 0:
        problems.append(Problem("command line", "--seed", f"is {seed}, must not be negative"))
    if gap is not None and not 0 <= gap < 1:
        problems.append(Problem("command line", "--gap", f"is {gap}, must be a fraction from 0 to below 1"))
    if time_limit is not None and not time_limit >= 0:
        problems.append(Problem("command line", "--time-limit", f"is {time_limit}, must not be negative"))
    return problems


def _parse_dead(dead: str, gpus: int, problems: list[Problem]) -> set[int]:
    numbers: set[int] = set()
    for entry in filter(None, (part.strip() for part in dead.split(","))):
        if entry.isdecimal() and int(entry) < gpus:
            numbers.add(int(entry))
        else:
            problems.append(Problem("command line", "--dead", f"{entry!r} is not a GPU from 0 to {gpus - 1}"))
    if gpus >= 1 and len(numbers) == gpus:
        problems.append(Problem("command line", "--dead", "leaves no GPU in service", "name fewer GPUs"))
    return numbers


def _warn(request: PlacementRequest, result: PlacementResult, note: Any) -> None:  # noqa: ANN401 - Output.note
    from planner.exchange.maps import duplicates

    doubled = duplicates(result.physical_to_logical_map[~request.dense_layers], request.gpus)
    if doubled:
        _, gpu, expert = doubled[0]
        note(f"note: {len(doubled)} second copies on one GPU waste a slot, first: expert {expert} on GPU {gpu}")


def _text(request: PlacementRequest, report: dict[str, Any], strategy: str) -> str:
    slots = int(request.slots.sum())
    moe_layers = int((~request.dense_layers).sum())
    lines = [
        f"{request.experts} experts on {request.gpus} GPUs, {slots} slots a layer, {moe_layers} MoE layers, "
        f"strategy {strategy}, {report['seconds']:.3g} s",
        f"balance  mean {report['balance_mean']:.4f}  worst layer {report['balance_min']:.4f}  "
        f"proven bound {report['bound_mean']:.4f}  gap {100 * report['gap_mean']:.2f} %",
    ]
    if request.scenarios > 1:
        lines.append("scenarios  " + "  ".join(f"{value:.4f}" for value in report["scenario_balance"]))
        lines += place_scenarios.lines(report)
    if report["remote_share"] is not None:
        lines.append(f"assignments that leave their node: {100 * report['remote_share']:.1f} %")
    open_layers = sorted(report["layers"], key=lambda row: -(row["gap"] if row["gap"] == row["gap"] else -1.0))
    lines.append("layers with the largest gap (balance, bound):")
    lines.extend(
        f"  {row['layer']:3d}  {row['balance']:.4f}  {row['bound']:.4f}"
        for row in open_layers[:WORST_SHOWN]
        if row["gap"] == row["gap"]
    )
    lines.extend(place_traffic_report.text(report))
    lines.extend(place_replan_text.text(report))
    lines.extend(place_programs.text(report))
    if report["map_path"]:
        lines.append(f"map: {report['map_path']}")
    return "\n".join(lines)
