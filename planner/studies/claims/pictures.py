"""Series behind the figures of the ledger's page: numbers only, from the project's own model and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs import cache, fast_mode, scaling
from planner.costs.normal_form import NormalForm, normal_form
from planner.instance.memory_tiers import hbm_tier, load_memory_tiers
from planner.instance.price_table import load_price_table
from planner.studies.claims.budget import budget
from planner.studies.claims.common import chip_named, model_named, plain_form
from planner.studies.claims.exhibits import feistel, memory_for_compute, residual
from planner.studies.inference import TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.studies.claims.claim import Finding

CROSSOVER_SHARES = (0.0, 0.25, 0.5)
"""Context over crossover context of the curves against the batch."""
PRICE_RATIO, SPEED_RATIO = 6.0, 2.5
"""The fast mode of C6."""
LAWS = ("hoffmann", "besiroglu")
PLACEMENTS = (
    ("two communities, best placement", "best, proven"),
    ("two communities, contiguous", "by expert number"),
    ("two communities, mean of random placements", "random, mean of 300"),
    ("uniform pairs, best placement", "best, no communities"),
)
"""Figures of C13 and how the page names them."""
SEED = 20261125


def pictures(placement: Finding | None) -> dict[str, Any]:
    """Compute every figure's series by name; the one of placements comes from the finding of C13, if there is one."""
    drawn = {
        "batch": cost_by_batch("deepseek-v3", "nvl72_nominal"),
        "menu": price_speed_menu(PRICE_RATIO, SPEED_RATIO),
        "context": cost_by_context("gemini-3.1-pro", batch=2.5),
        "tiers": cost_by_hold_time("deepseek-v3", "b200_nominal", usd_per_gpu_hour=2.0),
        "budget": overtraining_by_demand(params=100e9, tokens=200e12, penalty=3.0),
        "reconstruction": reconstruction_errors(layers=(4, 8, 16, 32, 64), width=64),
        "mixing": mixing(),
        "activations": activations(),
        "kv": kv_savings(),
    }
    return drawn if placement is None else drawn | {"placement": crossing_by_placement(placement)}


def cost_by_batch(model: str, hardware: str) -> dict[str, Any]:
    """Cost of a token over the least possible against sequences, for several contexts; and where each curve bends."""
    chip = chip_named(hardware)
    form = normal_form(model_named(model), chip, chip.scale_up_domain_gpus)
    batches = form.balance_batch * np.geomspace(0.02, 10.0, 120)
    curves = []
    for share in CROSSOVER_SHARES:
        context, kink = share * form.crossover_context, form.balance_batch / (1.0 - share)
        costs = [form.relative_cost(batch, context) for batch in (*batches, kink)]
        curves.append({"context_tokens": context, "cost": costs[:-1], "kink": kink, "kink_cost": costs[-1]})
    return {"model": model, "hardware": chip.title, "batch": batches.tolist(), "curves": curves}


def price_speed_menu(price_ratio: float, speed_ratio: float) -> dict[str, Any]:
    """Speed over standard that a price ratio buys in both branches, through one public pair."""
    memory = fast_mode.memory_bound_standard(price_ratio, speed_ratio)
    arithmetic = fast_mode.compute_bound_standard(price_ratio, speed_ratio, 0.0)
    prices = np.geomspace(1.0, 100.0, 80)
    return {
        "price": prices.tolist(),
        "speed": [fast_mode.speed_at_price(memory.fastest, price) for price in prices],
        "public": [price_ratio, speed_ratio],
        "fastest": memory.fastest,
        "fastest_if_arithmetic_binds": arithmetic.fastest,
    }


def cost_by_context(table_name: str, batch: float) -> dict[str, Any]:
    """Decode cost of a token against context, over its floor, with the kink at the table's step; and the prices."""
    table = load_price_table(table_name)
    if table.long_context is None:
        return {}
    step = float(table.long_context.threshold_tokens)
    contexts = np.linspace(0.0, 1e6, 101)
    large = _form_with_kink(step, np.inf)
    finite = _form_with_kink(step, batch)
    dearer = {
        "output": (table.long_context.output_usd_per_mtok or table.output_usd_per_mtok) / table.output_usd_per_mtok,
        "input": (table.long_context.input_usd_per_mtok or table.input_usd_per_mtok) / table.input_usd_per_mtok,
    }
    return {
        "table": table.title,
        "step_tokens": step,
        "batch": batch,
        "context": contexts.tolist(),
        "cost_large_batch": [large.relative_cost(1e12, context) for context in contexts],
        "cost_at_batch": [finite.relative_cost(batch, context) for context in contexts],
        "price_steps": dearer,
    }


def _form_with_kink(kink_tokens: float, batch: float) -> NormalForm:
    """Return the form, batches counted in balance batches, whose cost leaves the floor at ``kink_tokens``."""
    from dataclasses import replace

    return replace(plain_form(1.0, 1.0), crossover_context=kink_tokens / (1.0 - 1.0 / batch))


def cost_by_hold_time(model_name: str, hardware: str, usd_per_gpu_hour: float) -> dict[str, Any]:
    """Dollars to keep the KV of a million tokens for a time and read it once, by tier, beside computing it again."""
    chip, model = chip_named(hardware), model_named(model_name)
    hbm = cache.hold_line(hbm_tier(chip, usd_per_gpu_hour), in_place=True)
    listed = load_memory_tiers(TIERS)
    lines = [hbm, *(cache.hold_line(tier) for tier in listed.tiers)]
    scale = 1e6 * model.kv_bytes_per_token
    times = np.geomspace(1e-3, 1e6, 120)
    seconds = cache.recompute_s_per_token(model.published_active_params, chip.peak_flop_per_s("fp8"))
    return {
        "model": model_name,
        "hold_s": times.tolist(),
        "usd": {
            line.name: (scale * (line.retrieve_usd_per_byte + line.hold_usd_per_byte_s * times)).tolist()
            for line in lines
        },
        "recompute_usd": 1e6 * seconds * usd_per_gpu_hour / cache.SECONDS_PER_HOUR,
        "cheapest": [vars(stretch) for stretch in cache.cheapest_by_hold_time(lines)],
    }


def overtraining_by_demand(params: float, tokens: float, penalty: float) -> dict[str, Any]:
    """Cheapest pre-training tokens a parameter, over the rule of 20, against tokens served in the model's life."""
    demands = np.geomspace(1e12, 1e16, 33)
    laws = {
        law: [budget(law, params, tokens, float(demand), penalty).overtraining_rule20 for demand in demands]
        for law in LAWS
    }
    return {
        "demand": demands.tolist(),
        "overtraining": laws,
        "rule": scaling.RULE_TOKENS_PER_PARAM,
        "talk": {"demand": 259.2e12, "overtraining": tokens / (scaling.RULE_TOKENS_PER_PARAM * params)},
    }


def crossing_by_placement(finding: Finding) -> dict[str, Any]:
    """Take from C13 the sends a token to the other rack, by placement; and the share of assignments, one for all."""
    return {
        "names": [shown for _, shown in PLACEMENTS],
        "sends": [float(finding.figure(name).value) for name, _ in PLACEMENTS],
        "assignment_share": float(finding.figure("share of assignments, 2 racks").value),
    }


def reconstruction_errors(layers: Sequence[int], width: int) -> dict[str, Any]:
    """Largest error of inputs computed back from outputs, by number format and depth."""
    errors = {
        kind: [residual.reconstruction(kind, layers=depth, width=width, seed=SEED).error for depth in layers]
        for kind in residual.FORMATS
    }
    return {"layers": list(layers), "errors": errors, "warned_above": residual.ERROR_WORTH_A_WARNING}


def mixing() -> dict[str, Any]:
    """Avalanche of the cipher by rounds, and gain of the residual stack by depth."""
    rounds, depths = (1, 2, 3, 4, 6, 8), (4, 8, 16, 32, 64)
    return {
        "rounds": list(rounds),
        "avalanche": [feistel.avalanche(count, seed=SEED) for count in rounds],
        "depths": list(depths),
        "gain": [residual.gain(depth, width=64, seed=SEED) for depth in depths],
    }


def activations() -> dict[str, Any]:
    """Activation memory [GB] and extra FLOP of the three ways to train, for the network of C33."""
    ways = memory_for_compute.training_activations(100, 12288, 4096, 34.0)
    return {
        "ways": list(ways),
        "gigabytes": [way.bytes_kept / 1e9 for way in ways.values()],
        "extra_flop": [way.relative_flop - 1.0 for way in ways.values()],
    }


def kv_savings() -> dict[str, Any]:
    """FLOP without over with a KV cache, for three prompts and a thousand tokens of output."""
    prompts = (0, 1000, 100_000)
    return {"prompts": list(prompts), "factor": [memory_for_compute.kv_cache_factor(each, 1000) for each in prompts]}
