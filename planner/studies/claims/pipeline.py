"""C29 to C31: what pipeline stages save, and what fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.costs import memory
from planner.instance.quantities import PRECISION_BYTES
from planner.studies.claims.batch import HARDWARE, MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import chip_named, model_named

STAGES = (1, 2, 4, 8)
TIED = 1e-9
"""Relative difference below which two costs are the same, so that fewer stages decide."""
WEIGHTS = "fp8"


def _pipeline_memory(values: Values) -> Finding:
    """Weights and KV on one GPU by pipeline stages: P micro-batches in flight make up for 1/P of the layers."""
    hbm = chip_named(values.text("hardware")).hbm_bytes
    long = {stages: _bytes_per_gpu(values, stages, "sequences", "context") for stages in STAGES}
    short = {stages: _bytes_per_gpu(values, stages, "short_sequences", "short_context") for stages in STAGES}
    return Finding(
        computed=long[8][1] / long[1][1],
        figures=(
            *(Figure(f"weights at P = {stages}", weights / 1e9, "GB") for stages, (weights, _) in long.items()),
            *(Figure(f"KV at P = {stages}", kv / 1e9, "GB") for stages, (_, kv) in long.items()),
            *(
                Figure(f"weights at P = {stages}, attention on every GPU", _with_copies(values, stages) / 1e9, "GB")
                for stages in STAGES
            ),
            Figure("KV does not depend on P", all(math.isclose(kv, long[1][1]) for _, kv in long.values())),
            Figure("some P fits", any(sum(part) <= hbm for part in long.values())),
            Figure("KV of the short contexts", short[1][1] / 1e9, "GB"),
            Figure("weights and KV of the short contexts at P = 1", sum(short[1]) / 1e9, "GB"),
            Figure("weights and KV of the short contexts at P = 8", sum(short[8]) / 1e9, "GB"),
        ),
    )


def _bytes_per_gpu(values: Values, stages: int, sequences: str, context: str) -> tuple[float, float]:
    """Weights w N_tot / (E P), and KV of the micro-batches in flight, each with 1/P of the layers."""
    model, gpus = model_named(values.text("model")), values.number("gpus")
    weights = PRECISION_BYTES[WEIGHTS] * model.published_total_params / (gpus * stages)
    in_flight = stages * values.number("batches_in_flight_per_stage") if stages > 1 else 1.0
    per_rank = values.number(sequences) / gpus
    stage_kv = float(memory.kv_bytes_per_gpu(model, per_rank, values.number(context), 1.0)) / stages
    return weights, in_flight * stage_kv


def _with_copies(values: Values, stages: int) -> float:
    """Weights on the fullest GPU by the project's memory model: attention on every GPU, routed experts spread."""
    model, gpus = model_named(values.text("model")), values.number("gpus")
    slots = math.ceil(model.routed_experts / gpus)
    return float(
        memory.weight_bytes_per_gpu(
            model, tensor_parallel=1, expert_shards=1, slots_per_gpu=slots, pipeline_parallel=stages
        )
    )


@dataclass(frozen=True)
class Domain:
    """One scale-up domain a stage: FLOP/s, HBM and bandwidth of all its GPUs."""

    flop_per_s: float
    hbm_bytes: float
    hbm_bytes_per_s: float


@dataclass(frozen=True)
class Load:
    """What is served: parameters, bytes of all weights, KV bytes of one sequence."""

    active_params: float
    weight_bytes: float
    kv_bytes: float

    def scaled(self, factor: float) -> Load:
        """Return a model ``factor`` times as large with the same KV."""
        return Load(self.active_params * factor, self.weight_bytes * factor, self.kv_bytes)


def _domain(values: Values) -> Domain:
    chip = chip_named(values.text("hardware"))
    gpus = chip.scale_up_domain_gpus
    return Domain(gpus * chip.peak_flop_per_s(WEIGHTS), gpus * chip.hbm_bytes, gpus * chip.hbm_bytes_per_s)


def _load(values: Values) -> Load:
    model = model_named(values.text("model"))
    return Load(
        model.published_active_params,
        PRECISION_BYTES[WEIGHTS] * model.published_total_params,
        float(memory.kv_bytes_of_sequence(model, values.number("context"))),
    )


def least_domain_seconds(domain: Domain, load: Load, stages: int) -> float:
    """Least domain-seconds a token with one domain a stage; infinite where the weights do not fit.

    A stage takes t(B) = max(2 B N / F, (w N_tot + B kv) / W) / P a micro-batch and P of them are in flight, so a token
    costs P t(B) / B. That falls with B until arithmetic binds, or until P B kv / P and the weights / P fill the HBM.
    """
    free = domain.hbm_bytes - load.weight_bytes / stages
    if free < load.kv_bytes:
        return math.inf
    batch = free / load.kv_bytes
    arithmetic = 2.0 * load.active_params / domain.flop_per_s
    return max(arithmetic, (load.weight_bytes / batch + load.kv_bytes) / domain.hbm_bytes_per_s)


def cheapest_stages(domain: Domain, load: Load) -> int:
    """Fewest stages of least cost, by enumeration; 0 where none fits."""
    costs = {stages: least_domain_seconds(domain, load, stages) for stages in STAGES}
    least = min(costs.values())
    if math.isinf(least):
        return 0
    return next(stages for stages, cost in costs.items() if cost <= least * (1.0 + TIED))


def rack_time_ratio(experts_per_token: float, layers: float, ratio: float) -> float:
    """Scale-up time of a stage over the time of its one hop between racks, 2 k l / h. Source: seed claims, C30."""
    return 2.0 * experts_per_token * layers / ratio


def bubble(stages: int, micro_batches: int) -> float:
    """Idle share of a training pipeline, (P - 1) / (M + P - 1)."""
    return (stages - 1) / (micro_batches + stages - 1)


def _limited_value(values: Values) -> Finding:
    """Choose the number of stages for the model, and for one of 20 T parameters; hops, bubbles."""
    domain, load = _domain(values), _load(values)
    large = load.scaled(values.number("large_params") / load.weight_bytes)
    hops = values.number("hops") * values.number("hop_s")
    layers = {(k, h): math.ceil(h / (2.0 * k)) for k, h in ((8, 8), (2, 8), (1, 8), (8, 18))}
    return Finding(
        computed=float(cheapest_stages(domain, load)),
        figures=(
            Figure("stages for a model of 20 T parameters", float(cheapest_stages(domain, large))),
            Figure("step with hops", 1e3 * (values.number("step_s") + hops), "ms", printed=30.0),
            Figure("scale-up over hop, k = 8, h = 8, one layer", rack_time_ratio(8, 1, 8)),
            Figure("scale-up over hop, k = 8, h = 18, one layer", rack_time_ratio(8, 1, 18)),
            *(Figure(f"layers a stage needs, k = {k}, h = {h}", float(need)) for (k, h), need in layers.items()),
            *(Figure(f"bubble at P = {p}, M = {m}", bubble(p, m)) for p, m in ((4, 8), (4, 32), (8, 8))),
        ),
    )


FITS = (
    ("deepseek-v3", "fp8", "nvl72_nominal", 72),
    ("deepseek-v3", "fp8", "h100", 8),
    ("deepseek-v3", "fp8", "h200", 8),
    ("llama-3.1-405b", "fp8", "h100", 8),
    ("llama-3.1-405b", "bf16", "h100", 8),
)


def _weights_fit(values: Values) -> Finding:
    """Weights of a trillion parameters, and whether several models fit several domains."""
    chip = chip_named(values.text("hardware"))
    domain_bytes = chip.scale_up_domain_gpus * chip.hbm_bytes
    weights = PRECISION_BYTES[values.text("weights")] * values.number("params")
    return Finding(
        computed=weights / 1e12,
        figures=(
            Figure("HBM of the domain", domain_bytes / 1e12, "TB"),
            Figure("share of the domain's HBM", weights / domain_bytes),
            *(
                Figure(
                    f"{model} in {width} fits {gpus} x {hardware}",
                    PRECISION_BYTES[width] * model_named(model).published_total_params
                    <= gpus * chip_named(hardware).hbm_bytes,
                )
                for model, width, hardware, gpus in FITS
            ),
        ),
    )


CLAIMS = (
    Claim(
        id="C29",
        topic="pipeline",
        statement="Pipeline parallelism saves weight memory, not KV.",
        equation="bytes a GPU = w N_tot / (E P) + b L k / E",
        quantity="KV on a GPU at 8 stages over 1 stage",
        unit="",
        printed=1.0,
        inputs=(
            MODEL,
            HARDWARE,
            Input("gpus", 64.0, "GPUs", "of one stage", varies=False),
            Input("sequences", 2400.0, "sequences", "in one micro-batch"),
            Input("context", 100e3, "tokens", "of each of them"),
            Input("short_sequences", 5440.0, "sequences", "in one micro-batch of short contexts"),
            Input("short_context", 10e3, "tokens", "of each of them"),
            Input("batches_in_flight_per_stage", 1.0, "", "micro-batches in flight over stages; fewer leave GPUs idle"),
        ),
        compute=_pipeline_memory,
        acceptance=(
            Acceptance("weights at P = 1", 10.48, absolute=0.01),
            Acceptance("weights at P = 2", 5.24, absolute=0.01),
            Acceptance("weights at P = 4", 2.62, absolute=0.01),
            Acceptance("weights at P = 8", 1.31, absolute=0.01),
            *(Acceptance(f"KV at P = {stages}", 263.5, absolute=0.1) for stages in STAGES),
            Acceptance("KV does not depend on P", True),
            Acceptance("some P fits", False),
            Acceptance("KV of the short contexts", 59.7, absolute=0.1),
            Acceptance("weights and KV of the short contexts at P = 1", 70.2, absolute=0.1),
            Acceptance("weights and KV of the short contexts at P = 8", 61.0, absolute=0.1),
        ),
        why="A stage holds 1/P of the layers, for P micro-batches in flight: P cancels. Where KV does not fit, no "
        "number of stages helps.",
    ),
    Claim(
        id="C30",
        topic="pipeline",
        statement="Pipeline stages are of limited value for inference: the cheapest plan takes one.",
        equation="scale-up over hop = 2 k l / h; bubble = (P - 1) / (M + P - 1)",
        quantity="stages of the cheapest plan",
        unit="",
        printed=1.0,
        inputs=(
            MODEL,
            HARDWARE,
            Input("context", 1000.0, "tokens", "of each sequence"),
            Input("large_params", 20e12, "parameters", "in fp8, of a model as sparse as the first", varies=False),
            Input("step_s", 20e-3, "s", "step without hops, as the talk has it", varies=False),
            Input("hops", 4.0, "", "between stages, there and back", varies=False),
            Input("hop_s", 2.5e-3, "s", "one hop", varies=False),
        ),
        compute=_limited_value,
        acceptance=(
            Acceptance("stages for a model of 20 T parameters", 2.0),
            Acceptance("step with hops", 30.0, relative=1e-9),
            Acceptance("scale-up over hop, k = 8, h = 8, one layer", 2.0, relative=1e-9),
            Acceptance("scale-up over hop, k = 8, h = 18, one layer", 0.89, absolute=0.005),
            Acceptance("layers a stage needs, k = 1, h = 8", 4.0),
            Acceptance("layers a stage needs, k = 2, h = 8", 2.0),
            Acceptance("layers a stage needs, k = 8, h = 18", 2.0),
            Acceptance("bubble at P = 4, M = 8", 0.273, absolute=5e-4),
            Acceptance("bubble at P = 4, M = 32", 0.086, absolute=5e-4),
            Acceptance("bubble at P = 8, M = 8", 0.467, absolute=5e-4),
        ),
        why="One rack has memory to spare for such a model, so more stages buy nothing and cost hops. A model of 20 T "
        "parameters needs two, if its experts stay within a rack; the fleet program, which may spread them over two, "
        "does that instead. Past the crossover context more stages make batches slightly larger.",
    ),
    Claim(
        id="C31",
        topic="pipeline",
        statement="Weights fit easily: a trillion parameters is a terabyte, a rack has tens.",
        equation="w N_tot <= G C",
        quantity="weights of a trillion parameters",
        unit="TB",
        printed=1.0,
        inputs=(
            Input("params", 1e12, "parameters", "of the model"),
            Input("weights", WEIGHTS, "", "format of the weights"),
            HARDWARE,
        ),
        compute=_weights_fit,
        acceptance=(
            Acceptance("share of the domain's HBM", 0.072, absolute=5e-4),
            Acceptance("HBM of the domain", 13.8, relative=0.01),
            Acceptance("deepseek-v3 in fp8 fits 72 x nvl72_nominal", True),
            Acceptance("deepseek-v3 in fp8 fits 8 x h100", False),
            Acceptance("deepseek-v3 in fp8 fits 8 x h200", True),
            Acceptance("llama-3.1-405b in fp8 fits 8 x h100", True),
            Acceptance("llama-3.1-405b in bf16 fits 8 x h100", False),
        ),
        why="A rack of 13.8 TB holds it in 7 % of its memory. Eight H100 do not hold DeepSeek V3 in fp8.",
    ),
)
