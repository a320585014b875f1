"""`planner place` with recorded routing, a model and hardware: options, reading, and what they add to the answer."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.errors import Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.strategies.objective import StepModel
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult
    from planner.strategies.routing import TokenRouting
    from planner.strategies.traffic_aim import TrafficAim

FRONTIER_NAME = "frontier.csv"
DEFAULT_TOKENS_PER_GPU = 128.0
"""Tokens of a step on each GPU where neither --tokens-per-gpu nor routing says: a common decode batch."""
PREFERRED_PRICES = "tco_neocloud"
"""Column used without --prices where it has a price: what the GPU costs its owner, market margins left out."""
DRAWN_TOKENS = 2_048
"""Tokens drawn from the loads where the traffic search has no recorded routing."""

RoutingOption = Annotated[
    list[Path] | None,
    typer.Option(
        help=".npz with data[token, top_k], one a layer, or [token, layer, top_k]; gives loads without --loads."
    ),
]
TrafficWeightOption = Annotated[
    float | None,
    typer.Option(help="Cost of one remote destination a token, in times of a perfectly balanced layer."),
]
BalanceFloorOption = Annotated[
    float | None, typer.Option(help="Fewest destinations with at least this balance on unseen tokens.")
]
FrontierOption = Annotated[int, typer.Option(help="Points of the frontier between balance and destinations.")]
ModelOption = Annotated[str | None, typer.Option(help="Model name or file: top-k, expert size, bytes a token.")]
HardwareOption = Annotated[str | None, typer.Option(help="GPU name or file: seconds, and dollars where priced.")]
TokensPerGpuOption = Annotated[float | None, typer.Option(help="Tokens of a step that start on each GPU.")]
CalibrationOption = Annotated[str, typer.Option(help="Efficiencies of kernels and links, name or file.")]
PricesOption = Annotated[
    str | None, typer.Option(help="Price column, name or file; default: tco_neocloud, or one that has a price.")
]
DeduplicateOption = Annotated[
    bool, typer.Option("--deduplicate/--no-deduplicate", help="A token is sent once a unit, or once an expert.")
]
OversubscriptionOption = Annotated[float, typer.Option(help="Scale-out rate inside a rack over that across racks.")]


@dataclass(frozen=True)
class TrafficOptions:
    """What the command line says about routing and costs."""

    routing: list[Path]
    weight: float | None = None
    floor: float | None = None
    frontier: int = 0
    model: str | None = None
    hardware: str | None = None
    tokens_per_gpu: float | None = None
    calibration: str = "hand_set"
    prices: str | None = None
    deduplicate: bool = True
    oversubscription: float = 1.0

    def problems(self) -> list[Problem]:
        """List combinations and numbers that make no sense."""
        found = []
        if not self.routing and (self.floor is not None or self.frontier):
            key = "--balance-floor" if self.floor is not None else "--frontier"
            found.append(Problem("command line", key, "needs recorded routing", "give --routing"))
        if self.weight is not None and not self.routing:
            found.append(Problem("command line", "--traffic-weight", "needs recorded routing", "give --routing"))
        if self.hardware is not None and self.model is None:
            found.append(Problem("command line", "--hardware", "given without --model", "give both"))
        for key, value in (("--tokens-per-gpu", self.tokens_per_gpu), ("--oversubscription", self.oversubscription)):
            if value is not None and not 0 < value < float("inf"):
                found.append(Problem("command line", key, f"is {value}, must be above 0"))
        if not 0 <= self.frontier <= 1000:
            found.append(Problem("command line", "--frontier", f"is {self.frontier}, must be from 0 to 1000"))
        return found


@dataclass(frozen=True, eq=False)
class TrafficInputs:
    """What was read.

    Attributes
    ----------
    options
        The command line.
    load
        Tokens, shape [scenario, layer, expert].
    routing
        Recorded routing by layer of the load table, or ``None``.
    top_k
        Experts a token chooses, where known.
    step
        Seconds and dollars, where model and hardware are given.
    warnings
        What the readers noticed.
    """

    options: TrafficOptions
    load: NDArray[np.float64]
    routing: TokenRouting | None
    top_k: int | None
    step: StepModel | None
    warnings: list[str]

    def default_strategy(self) -> str:
        """Search with routing where there is any."""
        return "local_search" if self.routing is None else "coactivation"

    def aim(self, strategy: str, seed: int) -> TrafficAim | None:
        """Say what the search aims at; where it needs routing and has none, tokens are drawn from the loads."""
        from planner.strategies.routing import TokenRouting
        from planner.strategies.traffic_aim import TrafficAim

        routing = self.routing
        if routing is None and strategy == "coactivation" and self.top_k is not None:
            routing = TokenRouting.drawn(self.load.mean(axis=0), self.top_k, DRAWN_TOKENS, seed)
        if routing is None:
            return None
        return TrafficAim(routing, self.options.weight, self.options.floor, self.step)

    def node_gpus(self, gpus: int, gpus_per_node: int | None) -> int | None:
        """GPUs of a node: as given, else the scale-up domain of the hardware where the GPUs fill more than one."""
        if gpus_per_node is not None or self.step is None:
            return gpus_per_node
        domain = self.step.accelerator.scale_up_domain_gpus
        return domain if gpus > domain else None


def read(options: TrafficOptions, loads: list[Path], gpus: int, problems: list[Problem]) -> TrafficInputs | None:
    """Read loads, routing, model and hardware; ``None`` and all problems on the list where anything is wrong."""
    from planner.exchange.loads import read_scenario_files
    from planner.exchange.routing import distinct_expert_notes, read_routing
    from planner.instance.loading import load_model
    from planner.instance.resolve import collect

    found = options.problems()
    if not loads and not options.routing:
        found.append(Problem("command line", "--loads", "missing", "give a load file, or --routing"))
    model = None if options.model is None else collect(found, lambda: load_model(options.model or ""))
    scenarios = collect(found, lambda: read_scenario_files(loads)) if loads else None
    table = None if scenarios is None else scenarios.table
    experts = int(table.shape[2]) if table is not None else (model.routed_experts if model is not None else None)
    recorded = collect(found, lambda: read_routing(options.routing, experts)) if options.routing else None
    notes = [] if scenarios is None else list(scenarios.warnings)
    routing, top_k = None, None if model is None else model.experts_per_token
    if recorded and not found:
        if experts is None:
            experts = max(int(rows.max()) for rows in recorded) + 1
            notes.append(
                f"{experts} experts, by the largest id in the routing: give --model or --loads if there are more"
            )
        routing = collect(found, lambda: _match(recorded, table))
        notes += distinct_expert_notes(recorded, experts)
    if routing is not None and experts is not None:
        table = routing.load(experts) if table is None else table
        top_k = routing.top_k
    if model is not None and table is not None:
        found += _model_problems(model.routed_experts, model.experts_per_token, table.shape[2], top_k)
    step = _step(options, gpus, routing, found, notes)
    problems.extend(found)
    if found or table is None:
        return None
    return TrafficInputs(options, table, routing, top_k, step, notes)


def _match(recorded: list[NDArray[np.int64]], table: NDArray[np.float64] | None) -> TokenRouting:
    import numpy as np

    from planner.strategies.routing import TokenRouting

    loaded = np.ones(len(recorded), dtype=bool) if table is None else (table > 0).any(axis=(0, 2))
    dense = [not carried for carried in np.atleast_1d(loaded)]
    return TokenRouting.of_layers(recorded, dense)


def _model_problems(experts: int, model_top_k: int, table_experts: int, top_k: int | None) -> list[Problem]:
    problems = []
    if experts != table_experts:
        message = f"has {experts} experts, the loads {table_experts}"
        problems.append(Problem("command line", "--model", message, "give the model that was recorded"))
    if top_k is not None and top_k != model_top_k:
        message = f"chooses {model_top_k} experts a token, the routing {top_k}"
        problems.append(Problem("command line", "--model", message, "give the model that was recorded"))
    return problems


def _step(
    options: TrafficOptions, gpus: int, routing: TokenRouting | None, problems: list[Problem], notes: list[str]
) -> StepModel | None:
    """Model of a step, with a price where one is known."""
    from planner.instance.loading import load_accelerator, load_model
    from planner.instance.prices import columns_with, gpu_hour_price
    from planner.instance.resolve import collect, load_calibration
    from planner.strategies.objective import StepModel

    if options.model is None or options.hardware is None:
        return None
    hardware, model = options.hardware, options.model
    chip = collect(problems, lambda: load_accelerator(hardware))
    calibration = collect(problems, lambda: load_calibration(options.calibration))
    columns = [options.prices] if options.prices is not None else columns_with(hardware)
    columns.sort(key=lambda column: column != PREFERRED_PRICES)
    price = None if not columns or chip is None else collect(problems, lambda: gpu_hour_price(hardware, columns[0]))
    if problems or chip is None or calibration is None:
        return None
    tokens = options.tokens_per_gpu
    if tokens is None:
        tokens = DEFAULT_TOKENS_PER_GPU if routing is None else routing.tokens / gpus
        whence = "a common decode batch" if routing is None else "the recorded tokens over the GPUs"
        notes.append(f"{tokens:.4g} tokens a GPU and step, {whence}: give --tokens-per-gpu")
    return StepModel(load_model(model), chip, calibration, tokens, options.deduplicate, options.oversubscription, price)


def report(
    inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult, out: Path | None
) -> dict[str, Any]:
    """Keys that routing, model and hardware add to the answer; a frontier is also written as CSV to ``out``."""
    from planner.strategies.objective import cost_report, step_seconds
    from planner.strategies.routed_traffic import estimated_traffic, routed_traffic, traffic_report

    if inputs.top_k is None:
        return {}
    rows, step = result.physical_to_logical_map, inputs.step
    if inputs.routing is not None:
        traffic = routed_traffic(request, rows, inputs.routing)
    else:
        traffic = estimated_traffic(request, rows, inputs.top_k)
    sent = None if step is None else step.step_tokens(request) * step.bytes_per_send
    report: dict[str, Any] = {
        "destinations_per_token": traffic.destinations_per_token,
        "destinations_bound": _bound(inputs, request, result),
        "traffic": {
            "source": "drawn independently from the loads" if inputs.routing is None else "recorded routing",
            **traffic_report(traffic, sent, deduplicate=inputs.options.deduplicate),
        },
    }
    report |= _floor_report(inputs, request, result)
    if "frontier" in report:
        report["frontier_path"] = write_frontier(report["frontier"], out)
    if step is not None:
        report |= cost_report(request, step_seconds(request, rows, step, traffic), step)
    return report


def _bound(inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult) -> dict[str, Any] | None:
    """Lower bounds on the destinations of the recorded tokens: for any map, and for maps at least as well balanced."""
    from planner.strategies.result import mean_over
    from planner.strategies.traffic_bound import destinations_lower_bound

    if inputs.routing is None:
        return None
    balance = float(mean_over(result.balance))
    worst = float(min(value for value in result.balance if value == value))
    known = int(request.slots.sum()) == request.experts and request.equal_speed and request.scenarios == 1
    return {
        "any_balance": float(mean_over(destinations_lower_bound(request, inputs.routing))),
        "at_this_balance": (
            float(mean_over(destinations_lower_bound(request, inputs.routing, min(worst, balance)))) if known else None
        ),
        "note": "of the recorded tokens; at_this_balance is null with copies, where no bound is known",
    }


def _floor_report(inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult) -> dict[str, Any]:
    """Floor asked and planned for, where the search had one, and the frontier."""
    from planner.strategies.coactivation import DEFAULT_FLOOR, planned_floor
    from planner.strategies.frontier import frontier
    from planner.strategies.result import mean_over

    if inputs.routing is None:
        return {}
    added: dict[str, Any] = {"balance_floor": None, "frontier": None}
    if result.strategy == "coactivation" and (planned := planned_floor(request)) is not None:
        asked = DEFAULT_FLOOR if inputs.options.floor is None else inputs.options.floor
        reached = float(mean_over(result.balance))
        added["balance_floor"] = {
            "asked": asked,
            "planned": planned,
            "margin": planned - asked,
            "met": reached >= asked,
        }
    if inputs.options.frontier:
        added["frontier"] = [point.as_row() for point in frontier(request, inputs.options.frontier)]
    return added


def write_frontier(points: list[dict[str, Any]] | None, out: Path | None) -> str | None:
    """Write the frontier as CSV for figures; return its path relative to the working directory."""
    from planner.files import write_text

    if not points or out is None:
        return None
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(points[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    write_text(out / FRONTIER_NAME, stream.getvalue())
    return os.path.relpath(out / FRONTIER_NAME)


def text(report: dict[str, Any]) -> list[str]:
    """Lines for people."""
    lines = []
    if "traffic" in report:
        levels = report["traffic"]["levels"]
        parts = [f"{name} {values['destinations_per_token']:.3f}" for name, values in levels.items()]
        lines.append(f"distinct destinations a token ({report['traffic']['source']}): {'  '.join(parts)}")
    if report.get("balance_floor"):
        floor = report["balance_floor"]
        lines.append(
            f"balance floor {floor['asked']:.3f}, planned for {floor['planned']:.3f} so that unseen tokens keep it"
        )
    if "step_seconds" in report:
        seconds = report["step_seconds"]
        lines.append(
            f"{report['layers_priced']} MoE layers of a step take {1e3 * seconds['total']:.3f} ms: experts {1e3 * seconds['expert']:.3f} "
            f"(imbalance {1e3 * report['imbalance_seconds']:.3f}), links {1e3 * seconds['link']:.3f}"
        )
        if report["usd"] is not None:
            hour = report["usd"]["per_hour"]
            lines.append(
                f"an hour costs {hour['total']:.2f} USD ({report['usd']['price_column']}): "
                f"experts {hour['expert']:.2f}, imbalance {hour['imbalance']:.2f}, links {hour['link']:.2f}, "
                f"replica memory {hour['replica_memory']:.2f}"
            )
    if report.get("frontier"):
        lines.append("frontier   floor  balance  destinations  unseen: balance  destinations")
        lines.extend(
            f"  {row['plan'][:12]:12} {'-' if row['floor'] is None else format(row['floor'], '.3f'):>5}  "
            f"{row['balance']:.4f}  {row['destinations_per_token']:10.3f}  {row['balance_unseen']:15.4f}  "
            f"{row['destinations_unseen']:10.3f}"
            for row in report["frontier"]
        )
    return lines
