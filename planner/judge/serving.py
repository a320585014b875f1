"""Check one deployment of a plan against memory, latency and capacity, with the mix of requests it really gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.costs import memory, queueing
from planner.judge.timing import Bench, decode_terms, first_token_s, hop_s, prefill_terms, stage_s

if TYPE_CHECKING:
    from planner.instance.case import DemandClass

TOLERANCE = 1e-6
"""Relative slack of every limit: the solver's feasibility tolerance."""


@dataclass
class DeploymentReport:
    """What one replica of a deployment does under the plan.

    Attributes
    ----------
    tpot_s, ttft_s
        By class [s]; TTFT at the class's percentile.
    utilisation
        Busiest of: places taken over places staffed (decode), prefill time over allowed time.
    memory_bytes, usable_bytes
        Weights and KV of the fullest GPU, and what it may hold.
    terms_s
        Stage time by cause, of a decode step or of a prefill batch of the first class.
    binding
        Limits that the deployment meets within 2 %.
    violations
        Limits that it breaks.
    """

    name: str
    tpot_s: dict[str, float] = field(default_factory=dict)
    ttft_s: dict[str, float] = field(default_factory=dict)
    utilisation: float = 0.0
    memory_bytes: float = 0.0
    usable_bytes: float = 0.0
    terms_s: dict[str, float] = field(default_factory=dict)
    imbalance_mean: float = 1.0
    binding: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def limit(self, name: str, value: float, allowed: float, unit: str) -> None:
        """Record whether a value breaks its limit, or meets it within 2 %."""
        if value > allowed * (1 + TOLERANCE):
            self.violations.append(f"{self.name}: {name} {value:.6g} {unit} exceeds {allowed:.6g} {unit}")
        elif value >= 0.98 * allowed:
            self.binding.append(name)


def report_deployment(bench: Bench, *, may_idle: bool = False) -> DeploymentReport:
    """Recompute memory, TPOT, TTFT and capacity of one deployment under its own mix.

    ``may_idle``: it need not serve any request, since its memory holds prefixes.
    """
    report = DeploymentReport(bench.deployment.name)
    if bench.imbalance:
        report.imbalance_mean = sum(bench.imbalance) / len(bench.imbalance)
    mix = [
        (demand, bench.deployment.requests_per_s[demand.name] / bench.deployment.replicas)
        for demand in bench.instance.demand
        if bench.deployment.requests_per_s.get(demand.name, 0.0) > 0
    ]
    if not mix:
        if not may_idle:
            report.violations.append(f"{bench.deployment.name}: serves no request")
        return report
    if bench.deployment.phase != "decode":
        _judge_prefill(bench, mix, report)
    if bench.deployment.phase != "prefill":
        _judge_decode(bench, mix, report)
    if bench.deployment.phase != "both":
        _judge_hand_over(bench, mix, report)
    _judge_memory(bench, mix, report)
    return report


Mix = list[tuple["DemandClass", float]]


def _mean_context(mix: Mix) -> float:
    """Context of a sequence in service [tokens]: classes weigh by rate times answer length."""
    weight = sum(rate * demand.output_tokens for demand, rate in mix)
    return sum(rate * demand.output_tokens * demand.mean_context_tokens for demand, rate in mix) / weight


def _judge_decode(bench: Bench, mix: Mix, report: DeploymentReport) -> None:
    deployment = bench.deployment
    terms = decode_terms(bench, _mean_context(mix))
    stages = deployment.pipeline_parallel
    period = stages * (stage_s(bench, terms) + hop_s(bench, float(deployment.decode_batch)))
    report.terms_s = terms
    if deployment.phase == "both":
        period /= 1.0 - min(_prefill_busy(bench, mix), 0.999999)
    places = deployment.decode_batch * deployment.data_parallel * stages
    percentile = max(demand.percentile for demand, _ in mix)
    staffed = float(queueing.staffed_sequences(float(places), percentile))
    taken = sum(rate * demand.output_tokens * period for demand, rate in mix)
    report.utilisation = max(report.utilisation, taken / staffed)
    report.limit("decode places", taken, staffed, "sequences")
    for demand, _ in mix:
        report.tpot_s[demand.name] = period
        if demand.tpot_s is not None:
            report.limit(f"TPOT of {demand.name}", period, demand.tpot_s, "s")


def _prefill_busy(bench: Bench, mix: Mix) -> float:
    """Share of time that a rank of a mixed replica spends on prompts, one prompt a batch."""
    return sum(rate * _interval_s(bench, demand, 1.0) for demand, rate in mix) / bench.deployment.data_parallel


def _interval_s(bench: Bench, demand: DemandClass, requests: float) -> float:
    terms = prefill_terms(bench, demand, requests)
    return stage_s(bench, terms) + hop_s(bench, requests * demand.new_input_tokens)


def _judge_prefill(bench: Bench, mix: Mix, report: DeploymentReport) -> None:
    deployment, calibration = bench.deployment, bench.instance.calibration
    requests = float(deployment.prefill_requests)
    intervals = {demand.name: _interval_s(bench, demand, requests) for demand, _ in mix}
    per_rank = [(demand, rate / deployment.data_parallel) for demand, rate in mix]
    busy = sum(rate * intervals[demand.name] / requests for demand, rate in per_rank)
    report.terms_s = prefill_terms(bench, mix[0][0], requests)
    report.utilisation = busy
    report.limit("prefill utilisation", busy, calibration.highest_utilisation, "")
    # the rates are right to the solver's tolerance only, and near full load a wait magnifies it
    settled = busy / (1 + TOLERANCE)
    if settled < 1.0:
        _judge_ttft(bench, mix, intervals, settled, report)
    else:
        endless = [demand.name for demand, _ in mix if demand.ttft_s is not None]
        report.violations += [
            f"{report.name}: TTFT of {name} grows without end: prefill is always busy" for name in endless
        ]


def _judge_hand_over(bench: Bench, mix: Mix, report: DeploymentReport) -> None:
    """Check that the KV of every prompt fits the scale-out links: it leaves prefill and reaches decode over them."""
    handed = sum(
        rate * float(memory.kv_bytes_of_sequence(bench.instance.model, demand.input_tokens)) for demand, rate in mix
    )
    links = bench.instance.calibration.network.scale_out * bench.pool.accelerator.scale_out_bytes_per_s
    report.limit("KV hand-over", handed, links * bench.deployment.gpus, "B/s")


def _judge_ttft(bench: Bench, mix: Mix, intervals: dict[str, float], busy: float, report: DeploymentReport) -> None:
    """TTFT = wait + running batch of lockstep ranks + own batch + first token, at each class's percentile."""
    deployment = bench.deployment
    slowest = max(intervals.values())
    running = slowest if deployment.data_parallel > 1 else 0.0
    if deployment.phase == "both":
        running += stage_s(bench, decode_terms(bench, _mean_context(mix)))
    for demand, _ in mix:
        wait = float(queueing.waiting_percentile_s(busy, slowest / deployment.prefill_requests, demand.percentile))
        own = deployment.pipeline_parallel * intervals[demand.name]
        site = bench.instance.calibration.ttft_chips.get(bench.pool.accelerator.name, 1.0)
        ttft = demand.prefix_fetch_s + site * (wait + running + own + first_token_s(bench))
        report.ttft_s[demand.name] = ttft
        if demand.ttft_s is not None:
            report.limit(f"TTFT of {demand.name}", ttft, demand.ttft_s, "s")


def _judge_memory(bench: Bench, mix: Mix, report: DeploymentReport) -> None:
    deployment, model, limits = bench.deployment, bench.instance.model, bench.instance.calibration.memory
    weights = memory.weight_bytes_per_gpu(
        model,
        tensor_parallel=float(deployment.tensor_parallel),
        expert_shards=deployment.stage_gpus / deployment.expert_parallel,
        slots_per_gpu=float(deployment.slots_per_gpu),
        pipeline_parallel=float(deployment.pipeline_parallel),
    )
    if deployment.phase == "prefill":
        resident, context = deployment.prefill_requests, float(max(demand.input_tokens for demand, _ in mix))
    else:
        resident, context = deployment.decode_batch, _mean_context(mix)
    cache = memory.kv_bytes_per_gpu(model, float(resident), context, float(deployment.tensor_parallel))
    report.memory_bytes = float(weights) + float(cache)
    report.usable_bytes = memory.usable_bytes(
        bench.pool.accelerator.hbm_bytes, limits.usable_share, limits.reserve_bytes
    )
    report.limit("HBM", report.memory_bytes, report.usable_bytes, "B")
