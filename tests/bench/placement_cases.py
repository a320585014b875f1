"""Cases of the placement benchmark, each measured beside EPLB in the same run, and the table they make."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planner.strategies.api import run
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort, prove
from planner.strategies.result import gpu_load, imbalance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.strategies.result import PlacementResult

FloatArray = npt.NDArray[np.float64]

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "expert_loads" / "deepseek_v3_sglang"
"""Recorded DeepSeek-V3 loads beside the checkout; not part of it."""

MOE_LAYERS = slice(3, None)
WORKLOADS = (
    "prefill_in512",
    "prefill_in1024",
    "prefill_in4096",
    "decode_in2000out100",
    "decode_in1000out1000",
    "decode_in500out1500",
)
GROWTH = (
    (64, 8, 9, 4),
    (128, 16, 9, 4),
    (128, 64, 3, 4),
    (256, 72, 4, 4),
    (256, 288, 2, 4),
    (512, 144, 4, 2),
    (512, 512, 3, 2),
    (1024, 576, 2, 1),
    (1024, 1152, 3, 1),
    (1024, 2304, 2, 1),
    (1024, 2304, 3, 1),
)
"""(experts, GPUs, slots a GPU, layers) of generated loads."""

HEADER = (
    "| case | must reach | EPLB | greedy | ours | bound | gap, % | EPLB, CPU s | ours, CPU s |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Row:
    """One line of the table; balances are means over layers (and scenarios) of mean / largest GPU load."""

    case: str
    must: str
    ours: float
    seconds: float
    """CPU seconds of the search (and the proof), over all cores."""
    eplb: float | None = None
    eplb_seconds: float | None = None
    greedy: float | None = None
    bound: float | None = None
    gap: float | None = None
    met: bool = True

    def text(self) -> str:
        """Return the line."""
        cells = [
            self.case,
            self.must,
            _cell(self.eplb, 4),
            _cell(self.greedy, 4),
            _cell(self.ours, 4),
            _cell(self.bound, 4),
            _cell(None if self.gap is None else 100 * self.gap, 2),
            _cell(self.eplb_seconds, 1),
            _cell(self.seconds, 1),
        ]
        return "| " + " | ".join(cells) + " |\n"


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def recorded(*names: str) -> FloatArray:
    """Tokens of the MoE layers of recordings, shape [scenario, 58, 256]."""
    return np.stack(
        [np.array(json.loads((RECORDED / f"{name}.json").read_text())["logical_count"])[MOE_LAYERS] for name in names]
    ).astype(float)


def timed(request: PlacementRequest, strategy: str, effort: Effort | None = None) -> tuple[PlacementResult, float]:
    """Run a strategy; the result and the CPU seconds it took."""
    began = time.process_time()
    result = run(request, strategy, effort)
    return result, time.process_time() - began


def known_load_rows() -> Iterator[Row]:
    """One known load: balance and time of the search, with the bound where it was proven."""
    load = recorded("prefill_in4096")
    for gpus, slots, balance, seconds in (
        (32, 9, 0.9997, 1.0),
        (72, 4, 0.9985, 1.0),
        (128, 3, 0.9985, 1.0),
        (96, 3, 0.985, 1.0),
        (144, 2, 0.8097, 1.0),
        (256, 2, 0.990, 2.0),
    ):
        request = PlacementRequest(load, gpus, slots)
        greedy, greedy_seconds = timed(request, "eplb")
        ours, used = timed(request, "local_search")
        yield Row(
            f"prefill_in4096, {gpus} GPUs x {slots}",
            f">= {balance} in {seconds:g} s",
            ours.balance.mean(),
            used,
            eplb=greedy.balance.mean(),
            eplb_seconds=greedy_seconds,
            met=bool(ours.balance.mean() >= balance and used <= 2 * seconds),
        )


def certified_rows() -> Iterator[Row]:
    """Give the search and the proof the time they may take."""
    load = recorded("prefill_in4096")
    for gpus, slots, limit, must, balance, gap, closed in (
        (96, 3, 20.0, "gap <= 0.5 %", 0.985, 5e-3, 0),
        (144, 2, 90.0, ">= 50 layers to 0.1 %, gap <= 0.15 %", 0.8097, 1.5e-3, 50),
        (256, 2, 30.0, ">= 0.994", 0.994, 1.0, 0),
    ):
        request = PlacementRequest(load, gpus, slots)
        ours, used = timed(request, "local_search", Effort(1e-3, time.perf_counter() + limit, integer=True))
        done = int((ours.gap <= 1e-3 * (1 + 1e-6)).sum())
        yield Row(
            f"the same, {gpus} x {slots}, {limit:g} s limit: {done} layers to 0.1 %",
            must,
            ours.balance.mean(),
            used,
            bound=ours.bound.mean(),
            gap=ours.gap.mean(),
            met=bool(ours.balance.mean() >= balance and ours.gap.mean() <= gap and done >= closed),
        )


def robust_rows() -> Iterator[Row]:
    """One plan for six workloads, and plans for five that the sixth runs on."""
    load = recorded(*WORKLOADS)
    for gpus, slots, mean, worst in ((32, 9, 0.983, 0.981), (72, 4, 0.945, 0.940)):
        request = PlacementRequest(load, gpus, slots)
        results = {name: timed(request, name) for name in ("eplb", "multi_scenario_greedy", "local_search")}
        ours, used = results["local_search"]
        reached = ours.scenario_balance
        yield Row(
            f"six workloads, {gpus} x {slots}; worst {reached.min():.4f}",
            f">= {mean}, worst >= {worst}, 10 s",
            reached.mean(),
            used,
            eplb=results["eplb"][0].scenario_balance.mean(),
            eplb_seconds=results["eplb"][1],
            greedy=results["multi_scenario_greedy"][0].scenario_balance.mean(),
            met=bool(reached.mean() >= mean and reached.min() >= worst and used <= 20.0),
        )
    for gpus, slots, must in ((32, 9, 0.929), (72, 4, 0.84)):
        balance: dict[str, list[float]] = {"eplb": [], "multi_scenario_greedy": [], "local_search": []}
        seconds: dict[str, list[float]] = {name: [] for name in balance}
        for left_out in range(len(WORKLOADS)):
            request = PlacementRequest(np.delete(load, left_out, axis=0), gpus, slots)
            for name in balance:
                result, used = timed(request, name)
                placed = gpu_load(result.physical_to_logical_map, load[[left_out]], gpus)
                balance[name].append(float((1.0 / imbalance(placed)).mean()))
                seconds[name].append(used)
        ours_mean, slowest = float(np.mean(balance["local_search"])), max(seconds["local_search"])
        yield Row(
            f"plan on five, run on the sixth, {gpus} x {slots}",
            f">= {must}, 10 s",
            ours_mean,
            slowest,
            eplb=float(np.mean(balance["eplb"])),
            eplb_seconds=max(seconds["eplb"]),
            greedy=float(np.mean(balance["multi_scenario_greedy"])),
            met=ours_mean >= must and slowest <= 20.0,
        )


def command_row() -> Row:
    """`planner place` from start to finish, proof included, code warm."""
    command = [
        str(Path(sys.executable).with_name("planner")),
        "place",
        "--loads",
        str(RECORDED / "prefill_in4096.json"),
    ]
    options = ["--gpus", "144", "--slots-per-gpu", "2", "--format", "json", "--quiet"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([*command, *options], capture_output=True, check=True, text=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = json.loads(done.stdout)
    return Row(
        f"`planner place` on 144 x 2, start to finish: {wall:.1f} s",
        "<= 5 s",
        answer["balance_mean"],
        used,
        bound=answer["bound_mean"],
        gap=answer["gap_mean"],
        met=used <= 10.0,
    )


def generated(experts: int, layers: int) -> FloatArray:
    """Lognormal loads, s = 0.6, as real layers look (0.5 to 0.8), shape [1, layer, expert]."""
    return np.random.default_rng(experts).lognormal(0.0, 0.6, (1, layers, experts))


def growth_row(experts: int, gpus: int, slots: int, layers: int) -> Row:
    """Search and bound generated loads by linear programs; seconds are for one layer."""
    request = PlacementRequest(generated(experts, layers), gpus, slots)
    greedy, greedy_seconds = timed(request, "eplb")
    ours, used = timed(request, "local_search")
    proven = prove(request, ours, Effort(1e-3, time.perf_counter() + 20.0))
    return Row(
        f"{experts} experts, {gpus} x {slots}, a layer",
        "10 s" if gpus == 2304 else "",
        ours.balance.mean(),
        used / layers,
        eplb=greedy.balance.mean(),
        eplb_seconds=greedy_seconds / layers,
        bound=proven.bound.mean(),
        gap=proven.gap.mean(),
        met=used / layers <= 10.0 and ours.balance.mean() >= greedy.balance.mean(),
    )


def table(rows: list[Row], *, left_out: bool) -> str:
    """Markdown table of the rows."""
    note = (
        "\nRows on recorded loads are left out: the data folder beside the checkout is missing.\n" if left_out else ""
    )
    return HEADER + "".join(row.text() for row in rows) + note


def write(text: str) -> Path:
    """Put the table under outputs/, where git does not look."""
    folder = Path(__file__).resolve().parents[2] / "outputs"
    folder.mkdir(exist_ok=True)
    path = folder / "placement_benchmark.md"
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path
