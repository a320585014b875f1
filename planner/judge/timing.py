"""Times of one deployment, composed layer by layer from the scalar primitives of ``planner.costs``.

Written apart from the tables on purpose: the two must agree, and a test and every solve check that they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.costs import compute, memory, network
from planner.costs.work import has_foreign_scales, has_fp4_units
from planner.instance.quantities import PRECISION_BYTES
from planner.topology.crossing import distinct_remote_destinations
from planner.topology.domain_rate import domain_all_to_all_bytes_per_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.instance.attention import ContextLayers
    from planner.instance.case import DemandClass
    from planner.instance.instance import Instance, Pool
    from planner.plan import Deployment

_BF16 = PRECISION_BYTES["bf16"]


@dataclass(frozen=True)
class Bench:
    """One deployment on its pool. ``imbalance`` has one entry a MoE layer: busiest GPU over mean."""

    instance: Instance
    pool: Pool
    deployment: Deployment
    imbalance: Sequence[float]

    @property
    def gpus_per_domain(self) -> int:
        """GPUs of one scale-up domain."""
        return self.pool.gpus_per_domain

    @property
    def stage_layers(self) -> int:
        """Layers of the longest pipeline stage."""
        return -(-self.instance.model.layers // self.deployment.pipeline_parallel)

    @property
    def stage_moe_layers(self) -> int:
        """Layers with routed experts of the stage that has most of them."""
        model = self.instance.model
        if model.dense_layers_spread:
            return -(-self.stage_layers * model.moe_layers // model.layers)
        return min(self.stage_layers, model.moe_layers)

    @property
    def stage_domains(self) -> int:
        """Domains that one stage spans."""
        return -(-self.deployment.stage_gpus // self.gpus_per_domain)


def stage_terms(bench: Bench, tokens: float, attention_s: float, sampled: float, *, decode: bool) -> dict[str, float]:
    """Seconds of the fullest stage for ``tokens`` per attention rank, by cause.

    ``attention_s`` is the attention time of a mean layer, ``sampled`` the tokens per rank that reach the output head.
    """
    layers, moe = bench.stage_layers, bench.stage_moe_layers
    overheads = bench.instance.calibration.overheads
    fixed = layers * overheads.per_layer_s + moe * overheads.per_moe_layer_s
    model = bench.instance.model
    fixed += layers * overheads.per_mla_layer_s * model.special_attention_layers / model.layers
    fixed *= overheads.layer_factor_with_fp4_units if has_fp4_units(bench.pool.accelerator) else 1.0
    per_step = overheads.per_step_s + (overheads.per_sequence_s * tokens if decode else 0.0)
    return {
        "attention": layers * attention_s,
        "dense": _dense_s(bench, tokens, sampled, decode=decode),
        "experts": moe * _experts_s(bench, tokens, decode=decode),
        "all_reduce": 2 * layers * _all_reduce_s(bench, tokens, decode=decode),
        "all_to_all": moe * _all_to_all_s(bench, tokens, decode=decode),
        "overhead": fixed + per_step,
    }


def stage_s(bench: Bench, terms: dict[str, float]) -> float:
    """Time [s] of a stage from its terms, less what two-batch overlap hides."""
    communication = terms["all_reduce"] + terms["all_to_all"]
    rest = sum(terms.values()) - communication
    return float(network.overlapped_s(communication, rest, bench.instance.overlap_share))


def decode_terms(bench: Bench, context_tokens: float) -> dict[str, float]:
    """Terms [s] of one decode step of one stage at the planned batch and a mean context."""
    batch = float(bench.deployment.decode_batch)
    model, chip = bench.instance.model, bench.pool.accelerator
    efficiency = bench.instance.calibration.decode
    attention_s = sum(
        kind.layers
        * _attention_decode_s(
            kind,
            batch,
            context_tokens,
            bench.deployment.tensor_parallel,
            flop_per_s=efficiency.attention_compute * chip.peak_flop_per_s("bf16"),
            bytes_per_s=efficiency.kv_bandwidth * chip.hbm_bytes_per_s,
        )
        for kind in model.context_layers
    )
    terms = stage_terms(bench, batch, _mean_layer(bench, attention_s), batch, decode=True)
    factor = bench.instance.calibration.chips.get(chip.name, 1.0)
    return {cause: factor * seconds for cause, seconds in terms.items()}


def prefill_terms(bench: Bench, demand: DemandClass, requests: float) -> dict[str, float]:
    """Terms [s] of one prefill batch of one stage: ``requests`` prompts of one class on every attention rank."""
    model = bench.instance.model
    rate = _reached(bench, bench.instance.calibration.prefill.attention_compute, "bf16")
    ways = bench.deployment.tensor_parallel
    attention_s = 0.0
    for kind in model.context_layers:
        pairs = float(compute.causal_pairs(demand.input_tokens, demand.new_input_tokens, kind.window_tokens))
        pairs /= kind.tokens_per_entry
        read = pairs if kind.entries_read is None else min(pairs, demand.new_input_tokens * kind.entries_read)
        flop = read * kind.flop_per_entry_prefill / ways + pairs * kind.index_flop_per_entry
        flop += demand.new_input_tokens * kind.state_flop_per_token / ways
        each = compute.attention_prefill_s(requests, 1.0, flop_per_context_token=flop, flop_per_s=rate)
        attention_s += kind.layers * float(each)
    tokens = requests * demand.new_input_tokens
    return stage_terms(bench, tokens, _mean_layer(bench, attention_s), requests, decode=False)


def first_token_s(bench: Bench) -> float:
    """Time [s] before a first token besides prompts and steps; a latent, sparse or linear layer counts twice."""
    calibration, model = bench.instance.calibration, bench.instance.model
    if calibration.first_token is None:
        return float(calibration.overheads.first_token_s)
    layers = bench.stage_layers * bench.deployment.pipeline_parallel
    plain = 1.0 - model.special_attention_layers / model.layers
    return float(calibration.first_token.base_s + calibration.first_token.per_layer_s * layers * (2.0 - plain))


def hop_s(bench: Bench, tokens: float) -> float:
    """Time [s] to hand ``tokens`` per attention rank to the next stage; 0 for one stage."""
    deployment, links, chip = bench.deployment, bench.instance.calibration.network, bench.pool.accelerator
    if deployment.pipeline_parallel == 1:
        return 0.0
    if deployment.gpus <= bench.gpus_per_domain:
        rate = links.scale_up * chip.scale_up_bytes_per_s
    else:
        rate = links.scale_out * chip.scale_out_bytes_per_s
    hidden = bench.instance.model.hidden_size * _BF16
    return float(
        network.pipeline_hop_s(
            tokens / deployment.tensor_parallel, hidden, bytes_per_s=rate, latency_s=links.pipeline_hop_s
        )
    )


def _attention_decode_s(
    kind: ContextLayers, batch: float, context_tokens: float, ways: int, *, flop_per_s: float, bytes_per_s: float
) -> float:
    """Seconds of one layer: the entries that are read, every index key, and the state."""
    kept = float(memory.entries_kept(kind, context_tokens))
    read = kept if kind.entries_read is None else min(kept, kind.entries_read)
    entries = compute.attention_decode_s(
        batch,
        read,
        kv_bytes_per_token=kind.kv_bytes_per_entry / min(ways, kind.kv_shards),
        flop_per_context_token=kind.flop_per_entry_decode / ways,
        flop_per_s=flop_per_s,
        bytes_per_s=bytes_per_s,
    )
    index = compute.attention_decode_s(
        batch,
        kept,
        kv_bytes_per_token=kind.index_bytes_per_entry,
        flop_per_context_token=kind.index_flop_per_entry,
        flop_per_s=flop_per_s,
        bytes_per_s=bytes_per_s,
    )
    state = compute.state_s(
        batch,
        state_bytes=kind.state_bytes_moved / min(ways, kind.state_shards),
        flop=kind.state_flop_per_token / ways,
        flop_per_s=flop_per_s,
        bytes_per_s=bytes_per_s,
    )
    return float(entries) + float(index) + float(state)


def _mean_layer(bench: Bench, total_s: float) -> float:
    return total_s / bench.instance.model.layers


def _dense_s(bench: Bench, tokens: float, sampled: float, *, decode: bool) -> float:
    """Seconds of a stage's projections, dense blocks, shared experts and routers, and of the output head."""
    model, tensor = bench.instance.model, bench.deployment.tensor_parallel
    dense_layers = bench.stage_layers - bench.stage_moe_layers
    projections = bench.stage_layers * float(memory.attention_params_per_rank(model, tensor))
    blocks = (dense_layers * model.dense_ffn_params + bench.stage_moe_layers * model.shared_params) / tensor
    routers = float(bench.stage_moe_layers * model.router_params)
    head = model.vocab_size * model.hidden_size / tensor
    return (
        _gemm_s(bench, projections, tokens, model.weights.attention, decode=decode)
        + _gemm_s(bench, blocks, tokens, model.weights.dense_ffn, decode=decode)
        + _gemm_s(bench, routers, tokens, "bf16", decode=decode)
        + _gemm_s(bench, head, sampled, model.weights.embeddings, decode=decode)
    )


def _gemm_s(bench: Bench, params: float, tokens: float, precision: str, *, decode: bool) -> float:
    chip, calibration = bench.pool.accelerator, bench.instance.calibration
    share = calibration.decode.dense_compute if decode else calibration.prefill.dense_compute
    return float(
        compute.gemm_s(
            params,
            tokens,
            weight_bytes_per_param=PRECISION_BYTES[precision],
            flop_per_s=_reached(bench, share, precision),
            bytes_per_s=calibration.decode.weight_bandwidth * chip.hbm_bytes_per_s,
            half_tokens=calibration.decode.dense_half_tokens if decode else 0.0,
        )
    )


def _experts_s(bench: Bench, tokens_per_rank: float, *, decode: bool) -> float:
    """Seconds of the routed experts on the busiest GPU of a mean MoE layer."""
    model, deployment, calibration = bench.instance.model, bench.deployment, bench.instance.calibration
    if not bench.imbalance:
        return 0.0
    chip, precision = bench.pool.accelerator, model.weights.routed_experts
    tokens = tokens_per_rank * deployment.data_parallel
    slots = deployment.expert_parallel * deployment.slots_per_gpu
    shape = calibration.decode.popularity_shape
    touched = deployment.slots_per_gpu * float(compute.touched_share(model.experts_per_token, slots, tokens, shape))
    params = model.expert_params * deployment.expert_parallel / deployment.stage_gpus
    share = calibration.decode.expert_compute if decode else calibration.prefill.expert_compute
    bandwidth = calibration.decode.expert_weight_bandwidth * chip.hbm_bytes_per_s
    read = float(compute.expert_read_s(touched, params * PRECISION_BYTES[precision], bytes_per_s=bandwidth))
    mean = tokens * model.experts_per_token / deployment.expert_parallel
    total = 0.0
    for imbalance in bench.imbalance:
        arithmetic = compute.expert_compute_s(
            imbalance * mean,
            touched,
            params,
            flop_per_s=_reached(bench, share, precision),
            half_tokens=calibration.decode.expert_half_tokens,
        )
        total += max(float(arithmetic), read)
    software = calibration.decode.foreign_scale_factor if has_foreign_scales(model, chip) else 1.0
    return software * total / len(bench.imbalance)


def _reached(bench: Bench, share: float, precision: str) -> float:
    """FLOP/s of products in the arithmetic of ``precision``."""
    peak = bench.pool.accelerator.peak_flop_per_s(precision)
    return float(compute.reached_flop_per_s(share, peak, bench.instance.calibration.compute_exponent))


def _all_reduce_s(bench: Bench, tokens: float, *, decode: bool) -> float:
    links, prefill = bench.instance.calibration.network, bench.instance.calibration.prefill
    share = links.scale_up if decode or prefill.scale_up is None else prefill.scale_up
    crosses = bench.deployment.tensor_parallel > bench.gpus_per_domain
    return float(
        network.all_reduce_s(
            tokens,
            bench.instance.model.hidden_size * _BF16,
            float(bench.deployment.tensor_parallel),
            bytes_per_s=share * bench.pool.accelerator.scale_up_bytes_per_s,
            latency_s=links.all_reduce_latency_s,
            latency_exponent=links.all_reduce_latency_exponent,
            remote_latency_s=links.all_reduce_remote_latency_s if crosses else 0.0,
        )
    )


def _all_to_all_s(bench: Bench, tokens_per_rank: float, *, decode: bool) -> float:
    """Seconds of dispatch and combine of a mean MoE layer; none where every rank sees every token."""
    model, deployment, links = bench.instance.model, bench.deployment, bench.instance.calibration.network
    if not bench.imbalance or deployment.data_parallel == 1:
        return 0.0
    chip, domains = bench.pool.accelerator, bench.stage_domains
    if links.deduplicates(decode=decode):
        remote = float(distinct_remote_destinations(model.routed_experts, model.experts_per_token, domains))
    else:
        remote = model.experts_per_token * (domains - 1) / domains
    shards = deployment.stage_gpus // deployment.expert_parallel
    ranks = deployment.expert_parallel
    inside = min(deployment.stage_gpus, bench.gpus_per_domain)
    hop = chip.scale_out_latency_s if domains > 1 else chip.scale_up_latency_s
    total = 0.0
    for imbalance in bench.imbalance:
        total += float(
            network.all_to_all_s(
                tokens_per_rank / deployment.tensor_parallel,
                model.hidden_size * (links.dispatch_bytes_per_number + links.combine_bytes_per_number),
                destinations=shards
                * float(distinct_remote_destinations(model.routed_experts, model.experts_per_token, ranks)),
                remote_domains=remote,
                scale_up_bytes_per_s=(links.all_to_all_scale_up or links.scale_up)
                * float(domain_all_to_all_bytes_per_s(chip, inside)),
                scale_out_bytes_per_s=links.scale_out * chip.scale_out_bytes_per_s,
                imbalance=imbalance,
                latency_s=links.all_to_all_latency_s + hop,
            )
        )
    return total / len(bench.imbalance)
