"""`planner place` with recorded routing, a model and hardware: its options and what they read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import complete
from planner.errors import Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.strategies.objective import StepModel
    from planner.strategies.routing import TokenRouting
    from planner.strategies.traffic_aim import TrafficAim

DEFAULT_TOKENS_PER_GPU = 128.0
"""Tokens of a step on each GPU where neither --tokens-per-gpu nor routing says: a common decode batch."""
PREFERRED_PRICES = "tco_neocloud"
"""Column used without --prices where it has a price: what the GPU costs its owner, market margins left out."""
DRAWN_TOKENS = 2_048
"""Tokens drawn from the loads where the traffic search has no recorded routing."""

RoutingOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Expert ids of recorded tokens (.npz, .npy), token x top-k a layer, or all layers; gives loads too."
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
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Model name or file: top-k, expert size, bytes a token.", autocompletion=complete.names_of("models")
    ),
]
HardwareOption = Annotated[
    str | None,
    typer.Option(
        help="GPU name or file: seconds, and dollars where priced.", autocompletion=complete.names_of("hardware")
    ),
]
TokensPerGpuOption = Annotated[float | None, typer.Option(help="Tokens of a step that start on each GPU.")]
CalibrationOption = Annotated[
    str,
    typer.Option(
        help="Efficiencies of kernels and links, name or file.", autocompletion=complete.names_of("calibration")
    ),
]
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
