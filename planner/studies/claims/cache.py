"""C21 and C22: why cached tokens are cheap, and how long KV may lie in which memory."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from planner.costs import cache as costs
from planner.costs.normal_form import normal_form
from planner.errors import InstanceError
from planner.instance.memory_tiers import hbm_tier, load_memory_tiers
from planner.instance.price_table import load_price_table
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input
from planner.studies.claims.common import chip_named, model_named

if TYPE_CHECKING:
    from planner.instance.memory_tiers import MemoryTier
    from planner.studies.claims.claim import Values

_ORDER_OF_MAGNITUDE = 10.0**0.5
_TALK_CONTEXT = 200_000.0
_MINUTE, _HOUR = 60.0, 3600.0

_HARDWARE = Input("hardware", "b200_nominal", "", "accelerator of the library")
_MODEL = Input("model", "deepseek-v3", "", "model of the library")
_ACTIVE = Input("active_params", 100e9, "parameters", "active parameters of the talk's model")
_STEP = Input("crossover_context", _TALK_CONTEXT, "tokens", "context at which Gemini's price rises")


@cache
def _tiers(name: str) -> dict[str, MemoryTier]:
    return {tier.name: tier for tier in load_memory_tiers(name).tiers}


def _kv_of_the_talk(values: Values) -> float:
    """KV bytes a token that make reading as dear as computing at the price step, fp8: w N_act / (rho L*)."""
    rho = chip_named(values.text("hardware")).roofline_ratio("fp8")
    return values.number("active_params") / (rho * values.number("crossover_context"))


def _cheap_hits(values: Values) -> Finding:
    """Time to compute a token again over the time to fetch its KV, by link."""
    flop_per_s = chip_named(values.text("hardware")).peak_flop_per_s("fp8")
    model = model_named(values.text("model"))
    links = {
        "C2C": float(_tiers("host_2026")["ddr"].reached_bytes_per_s),
        "PCIe": values.number("pcie_bytes_per_s"),
        "NVMe": float(_tiers("host_2026")["flash"].reached_bytes_per_s),
        "disk": values.number("disk_bytes_per_s"),
    }

    def ratio(active_params: float, kv_bytes: float, link: str) -> float:
        computed = costs.recompute_s_per_token(active_params, flop_per_s)
        return computed / costs.retrieve_s_per_token(kv_bytes, links[link])

    own = {link: ratio(model.published_active_params, model.kv_bytes_per_token, link) for link in links}
    talk = {link: ratio(values.number("active_params"), _kv_of_the_talk(values), link) for link in links}
    tenth = costs.recompute_s_per_token(values.number("active_params"), flop_per_s) / 10.0
    return Finding(
        computed=own["PCIe"],
        figures=(
            *(Figure(f"the talk's KV over {link}", value) for link, value in talk.items()),
            *(Figure(f"model's KV over {link}", value) for link, value in own.items()),
            *(
                Figure(f"KV for a ratio of ten over {link}", tenth * links[link], "B")
                for link in ("C2C", "PCIe", "NVMe")
            ),
            *_reads_that_repay(values.text("table")),
        ),
    )


def _reads_that_repay(name: str) -> tuple[Figure, Figure]:
    """Count the reads after which a write into the cache has paid, at the prices of a table over its input price."""
    table = load_price_table(name)
    if table.cache_writes is None or table.cached_input_usd_per_mtok is None:
        raise InstanceError.single(name, "cache_writes", "the table does not price cache writes and reads", "another")
    writes, read = table.cache_writes, table.cached_input_usd_per_mtok / table.input_usd_per_mtok

    def reads(usd: float) -> float:
        return costs.reads_to_repay(usd / table.input_usd_per_mtok - 1.0, read)

    return (
        Figure("reads that repay a 5-minute write", reads(writes.short_usd_per_mtok), "reads"),
        Figure("reads that repay a 1-hour write", reads(writes.long_usd_per_mtok), "reads"),
    )


def _hold_times(values: Values) -> Finding:
    """Drain time of each memory, hold-or-recompute break-even of HBM, and the cheapest memory by hold time."""
    chip, model = chip_named(values.text("hardware")), model_named(values.text("model"))
    flop_per_s = chip.peak_flop_per_s("fp8")
    form = normal_form(model, chip, 1)
    own = costs.hbm_break_even_s(model.published_active_params, flop_per_s, model.kv_bytes_per_token, chip.hbm_bytes)
    talk = costs.hbm_break_even_s(values.number("active_params"), flop_per_s, _kv_of_the_talk(values), chip.hbm_bytes)
    return Finding(
        computed=costs.drain_s(chip.hbm_bytes, chip.hbm_bytes_per_s),
        figures=(
            *_drains(),
            Figure("break-even in HBM over (C/W) L*", own / (form.drain_s * form.crossover_context)),
            *_switches(values),
        ),
        otherwise=(
            Figure("hold or recompute, the talk's KV", talk, "s"),
            Figure("hold or recompute, the model's KV", own, "s"),
        ),
    )


def _drains() -> list[Figure]:
    host, x86 = _tiers("host_2026"), _tiers("host_x86_2026")
    ddr = x86["ddr"]
    return [
        Figure("drain of Grace LPDDR", host["ddr"].drain_s, "s", printed=10.0),
        Figure("drain of x86 DDR", ddr.drain_s, "s", printed=10.0),
        Figure("drain of x86 DDR through PCIe", costs.drain_s(ddr.capacity_bytes, ddr.reached_bytes_per_s), "s"),
        Figure("drain of a small NVMe drive", host["flash"].drain_s / _MINUTE, "min", printed=1.0),
        Figure("drain of a large NVMe drive", x86["flash"].drain_s / _MINUTE, "min", printed=1.0),
        Figure("drain of a QLC drive", x86["qlc"].drain_s / _HOUR, "h"),
        Figure("drain of a disk", host["disk"].drain_s / _HOUR, "h", printed=1.0),
    ]


def _switches(values: Values) -> list[Figure]:
    """Hold times at which the next memory is cheaper; KV in HBM is used where it lies."""
    gpu = hbm_tier(chip_named(values.text("hardware")), values.number("usd_per_gpu_hour"))
    lines = [costs.hold_line(gpu, in_place=True), *(costs.hold_line(t) for t in _tiers("host_2026").values())]
    names = {"ddr": "CPU memory", "flash": "flash", "disk": "disk"}
    return [
        Figure(f"{names.get(entry.name, entry.name)} is cheapest from", entry.from_s, "s")
        for entry in costs.cheapest_by_hold_time(lines)[1:]
    ]


CLAIMS = (
    Claim(
        id="C21",
        topic="cache",
        statement="Cache hits are ten times cheaper because computing again is dearer than reading.",
        equation="recompute / retrieve = (2 N_act / F) / (k / BW)",
        quantity="time to compute a token again over the time to fetch its KV from CPU memory through PCIe",
        unit="",
        printed=10.0,
        inputs=(
            _HARDWARE,
            _MODEL,
            _ACTIVE,
            _STEP,
            Input("pcie_bytes_per_s", 64e9, "B/s", "PCIe 5 x16, one way"),
            Input("disk_bytes_per_s", 240e6, "B/s", "a hard disk over its whole surface"),
            Input("table", "claude-sonnet-4.6", "", "price table of the library, for what cache writes cost"),
        ),
        compute=_cheap_hits,
        acceptance=(
            Acceptance("the talk's KV over C2C", 11_250.0, relative=0.01),
            Acceptance("the talk's KV over PCIe", 1_600.0, relative=0.01),
            Acceptance("the talk's KV over NVMe", 350.0, relative=0.01),
            Acceptance("the talk's KV over disk", 6.0, relative=0.01),
            Acceptance("model's KV over C2C", 105.0, relative=0.01),
            Acceptance("model's KV over PCIe", 15.0, relative=0.01),
            Acceptance("model's KV over NVMe", 3.3, relative=0.01),
            Acceptance("model's KV over disk", 0.06, absolute=0.005),
            Acceptance("KV for a ratio of ten over C2C", 2e6, relative=0.01),
            Acceptance("KV for a ratio of ten over PCIe", 284e3, relative=0.01),
            Acceptance("KV for a ratio of ten over NVMe", 62e3, relative=0.01),
            Acceptance("reads that repay a 5-minute write", 0.278, absolute=5e-4),
            Acceptance("reads that repay a 1-hour write", 1.11, absolute=5e-3),
        ),
        agree=_ORDER_OF_MAGNITUDE - 1.0,
        rounded=_ORDER_OF_MAGNITUDE,
        why="Right in direction. Ten is a price, derived nowhere: DeepSeek's KV over PCIe gives 15, from NVMe 3, and "
        "the talk's own KV size gives 350 to 11,000.",
    ),
    Claim(
        id="C22",
        topic="cache",
        statement="KV is held for as long as its memory takes to drain: HBM 20 ms, DDR 1-10 s, flash 1 min, disk 1 h.",
        equation="hold = C / W; or until computing again is cheaper, (2 N_act / F) / (k / C) = (C/W) L*",
        quantity="hold time of HBM by the drain rule",
        unit="s",
        printed=0.020,
        inputs=(
            _HARDWARE,
            _MODEL,
            _ACTIVE,
            _STEP,
            Input("usd_per_gpu_hour", 2.0, "$/h", "price of the GPU, in the cheapest memory by hold time"),
        ),
        compute=_hold_times,
        acceptance=(
            Acceptance("break-even in HBM over (C/W) L*", 1.0, absolute=1e-9),
            Acceptance("hold or recompute, the talk's KV", 4_799.0, relative=5e-3),
            Acceptance("hold or recompute, the model's KV", 44.93, relative=5e-3),
            Acceptance("drain of Grace LPDDR", 0.94, relative=0.01),
            Acceptance("drain of x86 DDR", 3.8, relative=0.01),
            Acceptance("drain of x86 DDR through PCIe", 31.0, relative=0.04),
            Acceptance("drain of a small NVMe drive", 9.1, relative=0.01),
            Acceptance("drain of a large NVMe drive", 36.6, relative=0.01),
            Acceptance("drain of a QLC drive", 2.4, relative=0.02),
            Acceptance("drain of a disk", 20.6, relative=0.01),
            Acceptance("CPU memory is cheapest from", 0.022, absolute=5e-4),
            Acceptance("flash is cheapest from", 16.7, relative=0.01),
            Acceptance("disk is cheapest from", 5_615.0, relative=0.01),
        ),
        why="The drain rule says when holding costs what reading does. Against computing again KV may stay in HBM for "
        "45 s (DeepSeek) to 80 minutes (the talk's KV). Flash drains in 9 to 37 minutes, a disk in 20 hours.",
    ),
)
