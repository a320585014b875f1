"""C18 to C20: what prices say of memory bandwidth, KV size and decoding."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from planner.costs.normal_form import NormalForm, normal_form
from planner.errors import InstanceError
from planner.instance.price_table import LongContext, PriceTable, load_price_table
from planner.studies.claims.batch import MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import IN_UNITS, chip_named, model_named

TABLE = Input("table", "gemini-3.1-pro", "", "price table of the library")
LARGE_BATCH = 1e9
BATCH = Input("b", LARGE_BATCH, "", "batch over balance batch; very large: the step is the crossover itself")
THRESHOLD = Input("threshold", 200e3, "tokens", "context above which the price rises")
_GPUS_A_NODE = 8.0
DAY_OF_DEEPSEEK = (
    Input("prefill_per_node", 73.7e3, "tokens/s", "input of a node of 8 GPUs, hits counted (DeepSeek Day 6)"),
    Input("decode_per_node", 14.8e3, "tokens/s", "output of a node of 8 GPUs (DeepSeek Day 6)"),
    Input("input_tokens", 608e9, "tokens", "input of the day (DeepSeek Day 6)"),
    Input("cached_tokens", 342e9, "tokens", "of these found in the cache (DeepSeek Day 6)"),
    Input("usd_per_gpu_hour", 2.0, "USD/h", "rent of a GPU, as DeepSeek's overview assumes"),
)
ATTENTION_MODELS = ("llama-3.1-70b", "llama-3.1-405b", "deepseek-v3")


@cache
def _table(name: str) -> PriceTable:
    return load_price_table(name)


def long_context_of(name: str) -> LongContext:
    """Return the price step of a table; InstanceError where it has none."""
    found = _table(name).long_context
    if found is None:
        raise InstanceError.single(name, "long_context", "the table has no step of the price with context", "another")
    return found


def _form_with_kink(threshold: float, batch: float) -> NormalForm:
    """Return the normal form, batches over balance, whose cost leaves the floor at ``threshold``: L* (1 - 1/b).

    Raises
    ------
    InstanceError
        If b is not above 1: cost then rises from the first token of context on.
    """
    if batch <= 1.0:
        raise InstanceError.single("command line", "--set b", f"{batch} is not above 1", "below balance is no kink")
    return replace(IN_UNITS, crossover_context=threshold / (1.0 - 1.0 / batch))


def _price_step(values: Values) -> Finding:
    """Rise of the input price, the rise of cost with context, and what the one leaves of the other."""
    table, long = _table(values.text("table")), long_context_of(values.text("table"))
    rises = {
        "input": (long.input_usd_per_mtok or table.input_usd_per_mtok) / table.input_usd_per_mtok,
        "output": (long.output_usd_per_mtok or table.output_usd_per_mtok) / table.output_usd_per_mtok,
    }
    batch, step, longest = values.number("b"), values.number("step"), values.number("longest")
    threshold, chunk = values.number("threshold"), values.number("chunk")
    form = _form_with_kink(threshold, batch)
    cost = {tokens: form.relative_cost(batch, tokens) for tokens in (threshold, 300e3, longest)}
    even = form.crossover_context * (step - 1.0 / batch)
    explained = {side: _cost_rise(form, batch, even, shared) for side, shared in (("input", chunk), ("output", 1.0))}
    residual = {side: rises[side] / explained[side] for side in rises}
    return Finding(
        computed=rises["input"] - 1.0,
        figures=(
            Figure("rise of the output price", rises["output"] - 1.0),
            Figure("cost at 300k tokens over the floor", cost[300e3]),
            Figure("cost at the longest context over the floor", cost[longest]),
            Figure("context up to which the step pays", even, "tokens"),
            Figure("mark-up that loses nothing up to the longest context", cost[longest] / step),
            Figure("mean cost from the threshold to the longest context", (cost[threshold] + cost[longest]) / 2.0),
            *(Figure(f"unexplained part of the {side} step", ratio) for side, ratio in residual.items()),
            Figure("price that KV reading does not explain", max(residual, key=lambda side: residual[side])),
        ),
    )


def _cost_rise(form: NormalForm, batch: float, context: float, shared: float) -> float:
    """Cost at a context over cost without, where ``shared`` tokens share one reading of weights and KV."""
    return form.relative_cost(batch * shared, context / shared) / form.relative_cost(batch * shared, 0.0)


def _kv_bytes(values: Values, **changes: float) -> float:
    """KV bytes of a token, k = w N_active / (rho L*), with the kink at the threshold: L* = threshold / (1 - 1/b)."""
    number = {name: values.number(name) for name in ("weight_bytes", "params", "rho", "threshold", "b")} | changes
    crossover = _form_with_kink(number["threshold"], number["b"]).crossover_context
    return number["weight_bytes"] * number["params"] / (number["rho"] * crossover)


def _kv_size(values: Values) -> Finding:
    """KV bytes that a kink at the threshold implies, beside those of real models and their own crossovers."""
    rubin = chip_named("rubin").roofline_ratio("fp4")
    forms = {name: _form_of_model(name) for name in ATTENTION_MODELS}
    deepseek = model_named("deepseek-v3")
    needed = _kv_bytes(values) / (values.number("params") / 1e9)
    has = deepseek.kv_bytes_per_token / (deepseek.published_active_params / 1e9)
    variants = {
        "in fp4 weights": _kv_bytes(values, weight_bytes=0.5),
        "in bf16 weights": _kv_bytes(values, weight_bytes=2.0),
        "with 10 B active": _kv_bytes(values, params=10e9),
        "with 1 T active": _kv_bytes(values, params=1e12),
        "on Rubin": _kv_bytes(values, rho=rubin),
        "at 2.5 times balance": _kv_bytes(values, b=2.5),
    }
    return Finding(
        computed=_kv_bytes(values),
        figures=(
            Figure("KV bytes of a token", _kv_bytes(values), "B", printed=1667.0),
            Figure("8 KV heads of 128 in one byte, one layer", float(8 * 128 * 2), "B"),
            *(Figure(f"crossover of {name}", form.crossover_context, "tokens") for name, form in forms.items()),
            Figure(
                "crossover of deepseek-v3, fp8 KV", _form_of_model("deepseek-v3", "fp8").crossover_context, "tokens"
            ),
            *(
                Figure(f"attention arithmetic equals that of weights, {name}", _arithmetic_kink(name), "tokens")
                for name in ATTENTION_MODELS
            ),
            Figure("KV needed per billion active parameters", needed, "B"),
            Figure("deepseek-v3 has times as much, bf16 KV", has / needed),
        ),
        otherwise=tuple(Figure(name, value, "B") for name, value in variants.items()),
    )


@cache
def _form_of_model(name: str, kv_format: str = "bf16") -> NormalForm:
    model = model_named(name).model_copy(update={"kv_format": kv_format})
    return normal_form(model, chip_named("b200_nominal"), 1)


@cache
def _arithmetic_kink(name: str) -> float:
    """Context at which scores and values of one new token take as many FLOP as its weights."""
    model = model_named(name)
    per_token = sum(
        kind.layers * float(kind.flop_per_entry_decode) / kind.tokens_per_entry for kind in model.context_layers
    )
    return 2.0 * model.published_active_params / per_token


def audited_usd_per_mtok(values: Values) -> dict[str, float]:
    """Cost of output, of input with cache hits counted, and of input computed, from the rates of DeepSeek's day."""
    cached = values.number("cached_tokens") / values.number("input_tokens")
    usd_per_s = values.number("usd_per_gpu_hour") * _GPUS_A_NODE / 3600.0
    counted = usd_per_s / values.number("prefill_per_node") * 1e6
    return {
        "output": usd_per_s / values.number("decode_per_node") * 1e6,
        "input": counted,
        "uncached": counted / (1.0 - cached),
    }


def _output_over_input(values: Values) -> Finding:
    """Output over input price, against the ratio of costs: measured, by the roofline, and by clues taken together."""
    long = long_context_of("gemini-3.1-pro")
    usd = audited_usd_per_mtok(values)
    with_hits, uncached = usd["output"] / usd["input"], usd["output"] / usd["uncached"]
    form = normal_form(model_named(values.text("model")), chip_named("h800"), 144)
    roofline = form.relative_cost(values.number("sequences_of_ep144"), values.number("context"))
    seen = "price table of the library"
    return Finding(
        computed=_ratio(values.text("table")),
        figures=(
            Figure("cost of output", usd["output"], "USD/Mtok"),
            Figure("cost of input, hits counted", usd["input"], "USD/Mtok"),
            Figure("cost of input, uncached", usd["uncached"], "USD/Mtok"),
            Figure("cost ratio of DeepSeek, hits counted as input", with_hits),
            Figure("cost ratio by the roofline at DeepSeek's batch and context", roofline),
            Figure(
                "price ratio of Gemini 3.1 above the step",
                (long.output_usd_per_mtok or 0.0) / (long.input_usd_per_mtok or 1.0),
            ),
            Figure("batch over balance that explains 5 without KV", 1.0 / 5.0),
            *_clue_test(values.number("typical_context"), values.number("tolerance")),
        ),
        field=(
            Figure("price ratio of Gemini 3.1", _ratio("gemini-3.1-pro"), source=seen),
            Figure("price ratio of Gemini 2.5", _ratio("gemini-2.5-pro"), source=seen),
            Figure("cost ratio of DeepSeek, uncached input", uncached, source="DeepSeek Day 6 (2025-03-01)"),
        ),
    )


def _ratio(name: str) -> float:
    return _table(name).output_usd_per_mtok / _table(name).input_usd_per_mtok


@cache
def _clue_test(typical_context: float, tolerance: float) -> tuple[Figure, ...]:
    """Take C6, C18 and C20 as clues on one model: whether some model meets all, and the least that mends them.

    Fast mode and price ratio are those of Claude, the step with context that of Gemini.
    """
    from planner.studies.inference import Inference, Reading, question_of

    changes = {"long_context": long_context_of("gemini-3.1-pro"), "typical_context_tokens": int(typical_context)}
    table = _table("claude-opus-4.6").model_copy(update=changes)
    names = {"fast_mode": "C6", "context_step": "C18", "output_over_input": "C20"}
    inference = Inference(question_of(table, Reading(tolerance=tolerance, precision="fp8", only=tuple(names))))
    conflicts = inference.conflicts(tuple(names))
    mended = inference.least_stretch(tuple(names), tuple(names)) if conflicts else {}
    return (
        Figure("C6, C18 and C20 together", "INCONSISTENT" if conflicts else "consistent"),
        Figure("conflict", "; ".join(" and ".join(names[clue] for clue in found) for found in conflicts) or "none"),
        *(Figure(f"least relaxation: {names[clue]} times", factor) for clue, factor in (mended or {}).items()),
    )


CLAIMS = (
    Claim(
        id="C18",
        topic="prices",
        statement="Gemini raises its price by 50 % above 200k tokens, where decoding becomes bound by bandwidth.",
        equation="cost / floor = max(1, 1/b + L/L*), the kink at L = L* (1 - 1/b)",
        quantity="rise of the input price above the threshold",
        unit="",
        printed=0.5,
        inputs=(
            TABLE,
            THRESHOLD,
            Input("step", 1.5, "", "price above the threshold over the price below, as printed"),
            Input("longest", 1e6, "tokens", "longest context that is sold"),
            Input("chunk", 8192.0, "tokens", "tokens of a prompt that are computed together and share a reading of KV"),
            BATCH,
        ),
        compute=_price_step,
        acceptance=(
            Acceptance("context up to which the step pays", 300e3, relative=0.01),
            Acceptance("mark-up that loses nothing up to the longest context", 3.333, absolute=1e-3),
            Acceptance("cost at 300k tokens over the floor", 1.5, absolute=1e-6),
            Acceptance("cost at the longest context over the floor", 5.0, absolute=1e-6),
            Acceptance("mean cost from the threshold to the longest context", 3.0, absolute=1e-6),
            Acceptance("rise of the output price", 0.5, absolute=1e-9),
            Acceptance("unexplained part of the input step", 2.0, absolute=1e-9),
            Acceptance("price that KV reading does not explain", "input"),
            Acceptance("price that KV reading does not explain", "input", given={"table": "claude-sonnet-4.6"}),
        ),
        why="Only the output price rises by 50 %; that of input doubles, where a chunk shares the KV reading. And a "
        "step of 50 % pays up to 300k tokens only.",
    ),
    Claim(
        id="C19",
        topic="prices",
        statement="From the step at 200k tokens follow 1,667 bytes of KV a token.",
        equation="k = w N_active / (rho L*)",
        quantity="KV bytes of a token",
        unit="B",
        printed=1667.0,
        inputs=(
            THRESHOLD,
            Input("params", 100e9, "parameters", "active parameters, a guess of the talk"),
            Input("weight_bytes", 1.0, "B", "bytes of a weight"),
            Input("rho", 300.0, "", "roofline ratio (F/2) w / W of the chip"),
            BATCH,
        ),
        compute=_kv_size,
        acceptance=(
            Acceptance("KV bytes of a token", 1666.7, relative=1e-3),
            Acceptance("with 10 B active", 166.7, relative=1e-3),
            Acceptance("KV needed per billion active parameters", 16.667, relative=1e-3),
            Acceptance("in fp4 weights", 833.0, relative=1e-3),
            Acceptance("in bf16 weights", 3333.0, relative=1e-3),
            Acceptance("with 1 T active", 16_667.0, relative=1e-3),
            Acceptance("on Rubin", 880.0, relative=0.01),
            Acceptance("at 2.5 times balance", 1000.0, relative=1e-3),
            Acceptance("crossover of llama-3.1-70b", 1532.0, relative=0.01),
            Acceptance("crossover of llama-3.1-405b", 5580.0, relative=0.01),
            Acceptance("crossover of deepseek-v3", 1872.0, relative=0.01),
            Acceptance("crossover of deepseek-v3, fp8 KV", 3744.0, relative=0.01),
            Acceptance("8 KV heads of 128 in one byte, one layer", 2048.0),
            Acceptance("attention arithmetic equals that of weights, llama-3.1-70b", 54e3, relative=0.01),
            Acceptance("attention arithmetic equals that of weights, llama-3.1-405b", 98e3, relative=0.01),
            Acceptance("attention arithmetic equals that of weights, deepseek-v3", 4.4e3, relative=0.015),
            Acceptance("deepseek-v3 has times as much, bf16 KV", 114.0, relative=0.01),
        ),
        why="Right as arithmetic for 100 B active parameters in eight bits at rho 300: each is a guess, and the "
        "answer is proportional to it. DeepSeek V3 has 114 times as much a parameter.",
    ),
    Claim(
        id="C20",
        topic="prices",
        statement="Output costs three to five times as much as input.",
        equation="ratio = max(1, 1/b + lambda), prefill at the floor",
        quantity="output over input price",
        unit="",
        printed=4.0,
        inputs=(
            Input("table", "claude-sonnet-4.6", "", "price table of the library"),
            MODEL,
            *DAY_OF_DEEPSEEK,
            Input("sequences_of_ep144", 144 * 1850 / 21.0, "sequences", "in service on DeepSeek's decode unit"),
            Input("context", 4989.0, "tokens", "mean context of the day (DeepSeek Day 6)"),
            Input("typical_context", 4000.0, "tokens", "context of a usual request in the clue test", varies=False),
            Input("tolerance", 0.1, "", "of each clue in the clue test", varies=False),
        ),
        compute=_output_over_input,
        acceptance=(
            Acceptance("cost ratio of DeepSeek, hits counted as input", 4.98, relative=0.01),
            Acceptance("cost ratio of DeepSeek, uncached input", 2.18, relative=0.01),
            Acceptance("cost of output", 0.300, relative=0.01),
            Acceptance("cost of input, hits counted", 0.0603, relative=0.01),
            Acceptance("cost of input, uncached", 0.138, relative=0.01),
            Acceptance("price ratio of Gemini 3.1", 6.0, relative=1e-9),
            Acceptance("price ratio of Gemini 3.1 above the step", 4.5, relative=1e-9),
            Acceptance("C6, C18 and C20 together", "INCONSISTENT"),
            Acceptance("conflict", "C18 and C20"),
            Acceptance("least relaxation: C20 times", 0.2, relative=0.03),
        ),
        agree=0.25,
        why="Five for Claude, but six and eight for Gemini; costs as measured differ by two. Taken with the step "
        "at 200k tokens it contradicts itself: the ratio would have to be one.",
    ),
)
