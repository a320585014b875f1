"""The JSON document of a certified plan: the keys that others rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.plan import map_key
from planner.studies.cache_payload import cache_decisions
from planner.studies.validation.bands import profile_factors

if TYPE_CHECKING:
    from planner.instance.instance import Instance
    from planner.judge.serving import DeploymentReport
    from planner.plan import Deployment
    from planner.studies.sensitivity import Saving
    from planner.studies.serving import ServingAnswer


def answer_payload(answer: ServingAnswer, saved: list[Saving], marginal: dict[str, float]) -> dict[str, Any]:
    """Document of one solve, without the run folder."""
    evaluation = answer.evaluation
    asked = {entry.name for entry in evaluation.demand}
    marginal = {name: usd for name, usd in marginal.items() if name in asked}
    return {
        "case": answer.instance.name,
        "title": answer.instance.case.title,
        "model": answer.instance.model.name,
        "status": answer.status,
        "stop_reason": answer.stop_reason,
        "cost_usd": answer.cost_usd,
        "bound_usd": answer.bound_usd,
        "gap": answer.gap,
        "evaluator_relative_difference": answer.evaluator_relative_difference,
        "horizon_hours": answer.instance.case.horizon_hours,
        "calibration": answer.instance.calibration.name,
        "demand": [entry.model_dump(mode="json") for entry in evaluation.demand],
        "assumptions": assumptions(answer.instance),
        "decisions": decisions(answer),
        "breakdown_usd": evaluation.breakdown_usd,
        "binding": binding(answer, saved, marginal),
        "placement": placement(answer),
        "seconds": answer.seconds,
        "rounds": answer.rounds,
        "search": search_record(answer),
    }


def assumptions(instance: Instance) -> dict[str, Any]:
    """Say what the numbers rest on: model, calibration, expert loads and overlap, with their sources."""
    model, calibration = instance.model, instance.calibration
    return {
        "model": {
            "name": model.name,
            "title": model.title,
            "total_params": model.total_params,
            "active_params": model.active_params,
            "weight_bytes": model.weight_bytes,
            "moe_layers": model.moe_layers,
            "routed_experts": model.routed_experts,
            "experts_per_token": model.experts_per_token,
            "kv_format": model.kv_format,
            "kv_bytes_per_token": model.kv_bytes_per_token,
        },
        "calibration": {
            "name": calibration.name,
            "title": calibration.title,
            "highest_utilisation": calibration.highest_utilisation,
            "sources": calibration.sources,
            "bands": None if calibration.bands is None else calibration.bands.model_dump(mode="json"),
            "left_out": None if calibration.left_out is None else calibration.left_out.model_dump(mode="json"),
        },
        "expert_load": instance.expert_load_note,
        "overlap": instance.case.overlap,
        "overlap_share": instance.overlap_share,
        "case_sources": instance.case.sources,
    }


def decisions(answer: ServingAnswer) -> dict[str, Any]:
    """Deployments with their layouts, the GPUs in use, paid and idle of each pool, and where prefixes are kept."""
    reports = {report.name: report for report in answer.evaluation.deployments}
    used, paid = answer.evaluation.gpus_used, answer.evaluation.gpus_paid
    kept = cache_decisions(answer.instance, answer.plan, answer.evaluation)
    return {
        "deployments": [_deployment(answer.instance, entry, reports[entry.name]) for entry in answer.plan.deployments],
        "pools": [
            {
                "pool": pool.name,
                "hardware": pool.accelerator.name,
                "usd_per_gpu_hour": pool.usd_per_gpu_hour,
                "price": pool.price_note,
                "gpus_per_domain": pool.gpus_per_domain,
                "domains": pool.domains,
                "pays_idle_gpus": pool.pays_idle_gpus,
                "domains_used": sum(use.domains for use in answer.plan.domains if use.pool == pool.name),
                "gpus_used": used[pool.name],
                "gpus_paid": paid[pool.name],
                "gpus_idle": paid[pool.name] - used[pool.name],
            }
            for pool in answer.instance.pools
        ],
        **({} if kept is None else {"cache": kept}),
    }


def _deployment(instance: Instance, entry: Deployment, report: DeploymentReport) -> dict[str, Any]:
    return {
        "name": entry.name,
        "pool": entry.pool,
        "phase": entry.phase,
        "replicas": entry.replicas,
        "gpus": entry.gpus,
        "tensor_parallel": entry.tensor_parallel,
        "data_parallel": entry.data_parallel,
        "expert_parallel": entry.expert_parallel,
        "pipeline_parallel": entry.pipeline_parallel,
        "slots_per_gpu": entry.slots_per_gpu,
        "decode_batch": entry.decode_batch,
        "prefill_requests": entry.prefill_requests,
        "requests_per_s": entry.requests_per_s,
        "tpot_s": report.tpot_s,
        "ttft_s": report.ttft_s,
        "tpot_band_s": _band_s(instance, entry, "tpot", report.tpot_s),
        "ttft_band_s": _band_s(instance, entry, "ttft", report.ttft_s),
        "utilisation": report.utilisation,
        "memory_bytes": report.memory_bytes,
        "usable_bytes": report.usable_bytes,
        "imbalance": report.imbalance_mean,
        "step_terms_s": report.terms_s,
    }


def _band_s(
    instance: Instance, entry: Deployment, metric: str, seconds: dict[str, float]
) -> dict[str, list[float]] | None:
    """Range [s] by class that holds the profile's nominal share of measured values; None where it has no bands."""
    bands = instance.calibration.bands
    if bands is None:
        return None
    chip = next(pool.accelerator.name for pool in instance.pools if pool.name == entry.pool)
    low, high = profile_factors(bands, metric, chip, instance.case.engine or "other")
    return {name: [low * value, high * value] for name, value in seconds.items()}


def binding(answer: ServingAnswer, saved: list[Saving], marginal: dict[str, float]) -> dict[str, Any]:
    """Limits met within 2 %, what one more unit of each limit saves, and what one more request costs."""
    return {
        "limits": [
            {"deployment": report.name, "limit": limit}
            for report in answer.evaluation.deployments
            for limit in report.binding
        ],
        "one_more_unit": [
            {
                "limit": saving.limit,
                "unit": saving.step,
                "saves_usd": saving.saves_usd,
                "saves_usd_of_used_gpus": saving.saves_usd_of_used_gpus,
                "dual_usd_of_used_gpus": saving.dual_usd_of_used_gpus,
            }
            for saving in saved
        ],
        "usd_of_one_more_request_per_s": marginal,
    }


def placement(answer: ServingAnswer) -> list[dict[str, Any]]:
    """Balance reached and proven bound of every map in use, a layer each."""
    result = []
    for (ranks, slots), placed in sorted(answer.book.placements.items()):
        if map_key(ranks, slots) not in answer.plan.expert_maps:
            continue
        layers = [
            {"layer": layer, "balance": balance, "bound": bound, "gap": max(0.0, 1 - balance / bound)}
            for layer, (balance, bound) in enumerate(zip(placed.balance.tolist(), placed.bound.tolist(), strict=True))
        ]
        result.append(
            {
                "map": map_key(ranks, slots),
                "balance_mean": float(np.mean(placed.balance)),
                "bound_mean": float(np.mean(placed.bound)),
                "gap_mean": float(np.mean([entry["gap"] for entry in layers])),
                "layers": layers,
            }
        )
    return result


def search_record(answer: ServingAnswer) -> dict[str, Any]:
    """Sizes, times and versions of the solves."""
    first = answer.solves[0]
    return {
        "candidates": len(answer.tables.candidates),
        "candidates_before_pruning": answer.tables.raw_candidates,
        "rows": first.rows,
        "columns": first.columns,
        "nonzeros": first.nonzeros,
        "solve_s": sum(result.solve_s for result in answer.solves),
        "solves": len(answer.solves),
        "versions": first.versions,
        "options": {"gap": first.options.gap, "threads": first.options.threads, "seed": first.options.seed},
    }
