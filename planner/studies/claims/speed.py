"""C6 to C10: what faster and slower service cost, how often a step departs, and what a rack delivers."""

from __future__ import annotations

from functools import cache

import numpy as np

from planner.costs import compute, fast_mode
from planner.errors import InstanceError
from planner.studies.claims.batch import HARDWARE, MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import (
    IN_UNITS,
    RHO_OF_THE_TALK,
    SPARSITY_OF_THE_TALK,
    chip_named,
    form_of,
    model_named,
)

MENU = (2.0, 3.0, 6.0, 15.0, 100.0)
PERIODS_S = (0.020, 0.015)
"""Time between departures as the talk has it, on today's chips and on Rubin, see C9."""
BALANCE_OF_THE_TALK = RHO_OF_THE_TALK * SPARSITY_OF_THE_TALK
DEFERRABLE = (0.0, 0.05, 0.1, 0.184, 0.3)
CHIPS = (
    "a100_40",
    "a100_80",
    "h100",
    "h200",
    "b200_nominal",
    "gb200_nvl72",
    "gb300_nvl72",
    "rubin",
    "tpu_v5e",
    "tpu_v5p",
    "tpu_v6e",
    "tpu7x",
)
"""Chips of the claims dossier, table 3.1."""

LAMBDA = Input("lambda", 0.0, "", "context over crossover context")


def _fast_mode(values: Values) -> Finding:
    """Find the standard batch that explains both ratios, whichever of arithmetic and memory binds it."""
    price, speed, share = values.number("price"), values.number("speed"), values.number("lambda")
    if not (price > 1.0 and speed > 1.0 and price * (speed - 1.0) > price - 1.0):
        message = f"{price} times the price for {speed} times the speed needs no smaller batch"
        raise InstanceError.single("command line", "--set", message, "price above 1, speed above 2 - 1/price")
    fastest = fast_mode.memory_bound_standard(price, speed).fastest
    least_share = (fastest - 1.0) / fastest
    if share < least_share:
        standard = fast_mode.compute_bound_standard(price, speed, share).standard_batch or 0.0
    else:
        standard = (fastest - 1.0) / share
    menu = {paid: fast_mode.speed_at_price(fastest, paid) for paid in MENU}
    return Finding(
        computed=standard,
        figures=(
            Figure("batch ratio", price * speed),
            Figure("standard batch over balance batch", standard),
            Figure("fast batch over balance batch", standard / (price * speed)),
            Figure("most speed in the memory branch", fastest),
            Figure("lambda from which memory binds", least_share),
            *(Figure(f"speed at {paid:g} times the price, memory branch", bought) for paid, bought in menu.items()),
        ),
        otherwise=(Figure("standard batch where memory begins to bind", fastest),),
    )


def _speed_bought(standard: float, share: float, price_ratio: float) -> float:
    """Most speed over standard for ``price_ratio`` c: that of the least b_fast with r(b_fast) <= c r(b_std)."""
    room = price_ratio * IN_UNITS.relative_cost(standard, share) - share
    fast = min(standard, 1.0 / room)
    return IN_UNITS.relative_step_time(standard, share) / IN_UNITS.relative_step_time(fast, share)


def _hundredfold(values: Values) -> Finding:
    """Speed that a price ratio buys, from the roofline of two batches on the same hardware."""
    standard, share = values.number("standard_batch"), values.number("lambda")
    bought = _speed_bought(standard, share, values.number("price"))
    in_memory = fast_mode.speed_at_price(
        fast_mode.memory_bound_standard(values.number("seen_price"), values.number("seen_speed")).fastest,
        values.number("price"),
    )
    return Finding(
        computed=bought,
        figures=(
            *(
                Figure(f"speed at {paid:g} times the price", _speed_bought(standard, share, paid))
                for paid in (2.0, 6.0, 15.0, 100.0)
            ),
            Figure("most speed at any price", IN_UNITS.relative_step_time(standard, share)),
            Figure("speed at the standard price", _speed_bought(standard, share, 1.0)),
        ),
        otherwise=(Figure("where memory binds", in_memory),),
    )


@cache
def _fleet(mean: float, peak: float, share: float) -> tuple[float, float]:
    """Nodes for a day of sinusoidal demand, and capacity cost of deferred over that of interactive work."""
    from formulations.valley_filling import ValleyFilling, ValleyProblem
    from planner.solver.highs import solve_pyomo
    from planner.solver.matrix import compile_pyomo

    demand = mean + (peak - mean) * np.sin(2 * np.pi * np.arange(24) / 24)
    problem = ValleyProblem((1.0 - share) * demand, share * float(demand.sum()))
    model = ValleyFilling().build(problem).model
    result = solve_pyomo(model)
    rows = compile_pyomo(model).matrix.row_names
    price = float(result.row_duals[rows.index("all_deferred")]) / problem.unit  # type: ignore[index]
    return float(result.objective or 0.0), 24.0 * price + 0.0


def _slow_mode(values: Values) -> Finding:
    """Cost after waiting for an endless batch over cost at b, and what valleys of the day offer instead."""
    batch, share = values.number("b"), values.number("lambda")
    mean, peak = values.number("mean_nodes"), values.number("peak_nodes")
    fleet = {part: _fleet(mean, peak, part) for part in DEFERRABLE}
    left = _cost_after_waiting(batch, share)
    return Finding(
        computed=left,
        figures=(
            Figure("saving", 1.0 - left),
            Figure("most saving at any lambda", 1.0 - _cost_after_waiting(batch, 1.0)),
            Figure("lambda up to which nothing is saved", 1.0 - 1.0 / batch),
            *(Figure(f"fleet if {part:.1%} of the work may wait", fleet[part][0], "nodes") for part in DEFERRABLE),
            Figure("idle share of the fleet", 1.0 - mean / peak),
            Figure("capacity cost of work that waits, 10.0% of all", fleet[0.1][1], "of work that does not"),
            Figure("capacity cost of work that waits, 30.0% of all", fleet[0.3][1], "of work that does not"),
        ),
        otherwise=(Figure("at the worst lambda", _cost_after_waiting(batch, 1.0)),),
        field=(
            Figure("price of batch service", values.number("batch_price"), source="every vendor's price page, 2026"),
        ),
    )


def _cost_after_waiting(batch: float, share: float) -> float:
    return IN_UNITS.relative_cost(float("inf"), share) / IN_UNITS.relative_cost(batch, share)


def _departures(values: Values) -> Finding:
    """HBM drain time, the upper bound of a memory-bound step; the lower bound is one sweep of the weights."""
    form, batch = form_of(values), values.number("batch")
    chip, model = chip_named(values.text("hardware")), model_named(values.text("model"))
    drains = {name: chip_named(name).drain_s() for name in CHIPS}
    free = (form.chi - 1.0) * form.balance_batch / batch
    full = free * form.crossover_context
    step = form.relative_step_time(batch, 0.0) * form.weight_sweep_s
    arithmetic = batch / form.balance_batch * form.weight_sweep_s
    small_kv = free * form.crossover_context * model.kv_bytes_per_token / values.number("small_kv_bytes")
    drain = values.number("hbm_share") * chip_named(values.text("chip")).drain_s()
    return Finding(
        computed=drain,
        figures=(
            Figure("drain time", drain, "s"),
            Figure("longest wait, two periods", 2.0 * drain, "s", printed=0.040),
            Figure("mean latency, one period and a half", 1.5 * drain, "s"),
            Figure("shortest drain of twelve chips", min(drains.values()), "s"),
            Figure("longest drain of twelve chips", max(drains.values()), "s"),
            Figure("drain of Rubin as the talk has it", chip_named("rubin_nominal").drain_s(), "s", printed=0.015),
            Figure("step without context", step, "s"),
            Figure("context that fills HBM", full, "tokens"),
            Figure("same, with the small KV", small_kv, "tokens"),
            Figure("memory over arithmetic time at full HBM", chip.drain_s() / arithmetic),
            Figure(
                "no plan that fits reads longer than the drain",
                _drain_bounds_steps(values.text("hardware"), values.text("model")),
            ),
        ),
    )


@cache
def _drain_bounds_steps(hardware: str, model_name: str) -> bool:
    """Where weights and KV fit, reading both takes no longer than the drain: over a grid of batches and contexts."""
    form = form_of(Values(hardware=hardware, model=model_name))
    chip, model = chip_named(hardware), model_named(model_name)
    gpus = chip.scale_up_domain_gpus
    rate, peak = gpus * chip.hbm_bytes_per_s, gpus * chip.peak_flop_per_s("fp8")
    for batch in np.geomspace(1.0, 1e6, 25):
        for context in np.geomspace(1.0, 1e7, 25):
            weights = compute.gemm_s(
                model.published_total_params, 0.0, weight_bytes_per_param=1.0, flop_per_s=peak, bytes_per_s=rate
            )
            kv = compute.attention_decode_s(
                batch,
                context,
                kv_bytes_per_token=model.kv_bytes_per_token,
                flop_per_context_token=0.0,
                flop_per_s=peak,
                bytes_per_s=rate,
            )
            if form.fits(batch, context) and weights + kv > chip.drain_s() * (1 + 1e-12):
                return False
    return True


def _rack_rate(values: Values) -> Finding:
    """Tokens/s of a rack: sequences times departures, against the roofline and measurement."""
    form, chip = form_of(values), chip_named(values.text("hardware"))
    gpus = chip.scale_up_domain_gpus
    rate = values.number("sequences") * values.number("departures_per_s")
    roofline = form.balance_batch / (form.relative_step_time(form.balance_batch, 0.0) * form.weight_sweep_s)
    seen = {"fp8": gpus * values.number("measured_fp8"), "fp4": gpus * values.number("measured_fp4")}
    usd_per_s = gpus * values.number("usd_per_gpu_hour") / 3600.0
    source = "LMSYS, DeepSeek on GB200 NVL72, part II (2025-09-25), 2,000 tokens of context"
    return Finding(
        computed=rate,
        figures=(
            *(Figure(f"2,400 sequences every {1e3 * s:g} ms", BALANCE_OF_THE_TALK / s, "tokens/s") for s in PERIODS_S),
            Figure("roofline without context", roofline, "tokens/s"),
            Figure("cost at the printed rate", usd_per_s / rate * 1e6, "USD/Mtok"),
            Figure("cost at the measured rate", usd_per_s / seen["fp8"] * 1e6, "USD/Mtok"),
            Figure("cost at the roofline", usd_per_s / roofline * 1e6, "USD/Mtok"),
            Figure("racks for the fleet at the printed rate", values.number("fleet_tokens_per_s") / rate, "racks"),
            Figure(
                "racks for the fleet at the measured rate", values.number("fleet_tokens_per_s") / seen["fp8"], "racks"
            ),
        ),
        field=tuple(Figure(f"measured, {name}", value, "tokens/s", source=source) for name, value in seen.items()),
    )


CLAIMS = (
    Claim(
        id="C6",
        topic="speed",
        statement="Fast mode: six times the price for two and a half times the speed.",
        equation="B_std / B_fast = c s; tau(b) = max(b, 1 + lambda b); tau(b_std) / tau(b_fast) = s",
        quantity="standard batch over balance batch that explains both ratios (the talk: 2 to 3)",
        unit="",
        printed=2.5,
        inputs=(
            Input("price", 6.0, "", "price of the fast tier over the standard one"),
            Input("speed", 2.5, "", "speed of the fast tier over the standard one"),
            LAMBDA,
        ),
        compute=_fast_mode,
        acceptance=(
            Acceptance("standard batch over balance batch", 2.5, absolute=1e-3),
            Acceptance("fast batch over balance batch", 0.1667, absolute=1e-3),
            Acceptance("batch ratio", 15.0, relative=1e-9),
            Acceptance("most speed in the memory branch", 2.8, absolute=0.01),
            *(
                Acceptance(f"speed at {paid:g} times the price, memory branch", bought, absolute=0.01)
                for paid, bought in zip(MENU, (1.90, 2.20, 2.50, 2.68, 2.78), strict=True)
            ),
            *(
                Acceptance("standard batch over balance batch", expected, absolute=0.01, given={"lambda": share})
                for share, expected in ((0.1, 2.54), (0.25, 2.61), (0.5, 2.73))
            ),
            Acceptance("lambda from which memory binds", 0.643, absolute=1e-3),
            Acceptance("batch ratio", 12.5, relative=1e-9, given={"price": 5.0}),
            Acceptance("most speed in the memory branch", 2.875, absolute=1e-3, given={"price": 5.0}),
        ),
        why="One assumption, a standard tier at 2.5 times balance, gives both ratios. Speculative decoding, other "
        "hardware and priority in the queue explain them too.",
    ),
    Claim(
        id="C7",
        topic="speed",
        statement="Paying a hundred times more does not buy much more speed than fast mode does.",
        equation="s <= tau(b_std)",
        quantity="speed at a hundred times the price",
        unit="",
        printed=2.5,
        inputs=(
            Input("price", 100.0, "", "price over the standard one"),
            Input("standard_batch", 2.5, "", "standard batch over balance batch"),
            LAMBDA,
            Input("seen_price", 6.0, "", "price of the fast tier that is sold, see C6; only where memory binds"),
            Input("seen_speed", 2.5, "", "speed of that tier over standard"),
        ),
        compute=_hundredfold,
        acceptance=(
            *(Acceptance(f"speed at {paid:g} times the price", 2.5, absolute=0.01) for paid in (2.0, 6.0, 15.0, 100.0)),
            Acceptance("most speed at any price", 2.8, absolute=0.01, given={"lambda": 0.72}),
            Acceptance("speed at 100 times the price", 2.78, absolute=0.01, given={"lambda": 0.72}),
            Acceptance("speed at the standard price", 2.5, absolute=0.01),
        ),
        why="No price buys more than tau(b_std). Without KV reading the cap is reached at the standard price: only "
        "where memory binds is a dearer fast tier rational.",
    ),
    Claim(
        id="C8",
        topic="speed",
        statement="Slow mode cannot be much cheaper.",
        equation="saving = 1 - max(1, lambda) / max(1, 1/b + lambda) <= 1 / (1 + b)",
        quantity="cost after waiting for an endless batch, over the standard cost",
        unit="",
        printed=1.0,
        inputs=(
            Input("b", 2.5, "", "standard batch over balance batch"),
            LAMBDA,
            Input("batch_price", 0.5, "", "price of batch service over the standard one, price pages of 2026"),
            Input("mean_nodes", 226.75, "nodes", "mean fleet of DeepSeek's published day", varies=False),
            Input("peak_nodes", 278.0, "nodes", "largest fleet of that day", varies=False),
        ),
        compute=_slow_mode,
        acceptance=(
            Acceptance("most saving at any lambda", 0.2857, absolute=1e-4),
            Acceptance("most saving at any lambda", 0.5, absolute=1e-9, given={"b": 1.0}),
            *(
                Acceptance(f"fleet if {part:.1%} of the work may wait", nodes, absolute=0.1)
                for part, nodes in zip(DEFERRABLE, (278.0, 264.1, 250.2, 226.9, 226.75), strict=True)
            ),
            Acceptance("idle share of the fleet", 0.184, absolute=1e-3),
            Acceptance("capacity cost of work that waits, 10.0% of all", 0.0, absolute=1e-6),
        ),
        why="Waiting for a larger batch saves nothing up to lambda = 1 - 1/b: neither KV nor arithmetic is shared. "
        "Yet batch service sells at half price: in the valleys of the day capacity costs nothing.",
    ),
    Claim(
        id="C9",
        topic="speed",
        statement="A step departs about every 20 ms, and nobody waits longer than 40 ms.",
        equation="drain = C / W; longest wait = 2 T; w N_tot / W <= T <= C / W where memory binds",
        quantity="time to read all HBM once",
        unit="s",
        printed=0.020,
        inputs=(
            Input("chip", "b200_nominal", "", "accelerator whose HBM is drained"),
            Input("hbm_share", 1.0, "", "share of HBM that a step reads: 1 where it is full of weights and live KV"),
            MODEL,
            HARDWARE,
            Input("batch", 2400.0, "sequences", "sequences in a step"),
            Input("small_kv_bytes", 5000.0 / 3, "B", "KV bytes of a token as the talk infers them, see C19"),
        ),
        compute=_departures,
        acceptance=(
            Acceptance("drain time", 24.0e-3, relative=1e-9),
            Acceptance("drain of Rubin as the talk has it", 14.4e-3, relative=1e-9),
            Acceptance("shortest drain of twelve chips", 13.1e-3, relative=0.01),
            Acceptance("longest drain of twelve chips", 39.2e-3, relative=0.01),
            Acceptance("step without context", 1.165e-3, relative=0.01),
            Acceptance("context that fills HBM", 77_989.0, relative=0.01),
            Acceptance("same, with the small KV", 3.3e6, relative=0.01),
            Acceptance("memory over arithmetic time at full HBM", 44.0, relative=0.01),
            Acceptance("no plan that fits reads longer than the drain", True),
        ),
        why="13 to 39 ms over twelve chips. But it is the longest a memory-bound step can take, not the shortest: "
        "2,400 sequences take 1.2 ms unless their contexts average 78,000 tokens.",
    ),
    Claim(
        id="C10",
        topic="speed",
        statement="A rack delivers about 128,000 tokens a second.",
        equation="rate = sequences / period",
        quantity="tokens of a rack",
        unit="tokens/s",
        printed=128e3,
        inputs=(
            Input("sequences", 2000.0, "sequences", "sequences in a step, as the talk rounds them"),
            Input("departures_per_s", 64.0, "1/s", "steps in a second, about one every 15 ms"),
            MODEL,
            HARDWARE,
            Input("measured_fp8", 9087.0, "tokens/s", "decode of a GPU, fp8 weights and bf16 KV (LMSYS, 2025-09-25)"),
            Input("measured_fp4", 13386.0, "tokens/s", "decode of a GPU, fp4 weights and fp8 KV (LMSYS, 2025-09-25)"),
            Input("usd_per_gpu_hour", 2.0, "USD/h", "rent of a GPU, as DeepSeek's overview assumes"),
            Input("fleet_tokens_per_s", 50e6, "tokens/s", "tokens of a large provider, as the talk has them"),
        ),
        compute=_rack_rate,
        acceptance=(
            Acceptance("2,400 sequences every 20 ms", 120e3, relative=1e-9),
            Acceptance("2,400 sequences every 15 ms", 160e3, relative=1e-9),
            Acceptance("roofline without context", 4.38e6, relative=0.01),
            Acceptance("measured, fp8", 654e3, relative=0.01),
            Acceptance("measured, fp4", 964e3, relative=0.01),
            Acceptance("cost at the printed rate", 0.3125, relative=0.01),
            Acceptance("cost at the measured rate", 0.0611, relative=0.01),
            Acceptance("cost at the roofline", 0.0091, relative=0.01),
            Acceptance("racks for the fleet at the printed rate", 391.0, relative=0.01),
            Acceptance("racks for the fleet at the measured rate", 76.0, relative=0.01),
        ),
        why="Right as arithmetic. Racks measured at 2,000 tokens of context deliver 5 to 7.5 times as much.",
    ),
)
