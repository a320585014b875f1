"""Numbers that follow from a case before anything is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.costs.normal_form import NormalForm, normal_form
from planner.costs.shards import valid_tensor_parallel
from planner.instance.lifecycle import LifecycleInstance
from planner.topology.domain_rate import domain_all_to_all_bytes_per_s
from planner.units import seconds, with_prefix

if TYPE_CHECKING:
    from planner.instance.instance import Instance, Pool


def derived_numbers(instance: Instance | LifecycleInstance) -> dict[str, Any]:
    """Document of `planner check`: the normal form of the first pool at the top, every pool below it.

    Where the model is open the figures are those of the first member, and ``members`` names all.
    """
    if isinstance(instance, LifecycleInstance):
        return derived_numbers(instance.members[0]) | {"members": [entry.model.name for entry in instance.members]}
    forms = [normal_form(instance.model, pool.accelerator, pool.gpus_per_domain) for pool in instance.pools]
    return {
        "case": instance.name,
        "model": instance.model.name,
        **_normal_form(forms[0]),
        "weight_bytes": instance.model.weight_bytes,
        "kv_bytes_per_token": instance.model.kv_bytes_per_token,
        "index_bytes_per_token": instance.model.index_bytes_per_token,
        "state_bytes_per_sequence": instance.model.state_bytes,
        "valid_tensor_parallel": list(valid_tensor_parallel(instance.model)),
        "pools": [_pool(pool, form) for pool, form in zip(instance.pools, forms, strict=True)],
        "demand": [demand.model_dump() for demand in instance.demand],
        "expert_load": instance.expert_load_note,
        "calibration": instance.calibration.name,
    }


def _normal_form(form: NormalForm) -> dict[str, float]:
    return {
        "rho": form.rho,
        "sigma": form.sigma,
        "balance_batch": form.balance_batch,
        "crossover_context": form.crossover_context,
        "chi": form.chi,
        "weight_sweep_s": form.weight_sweep_s,
        "drain_s": form.drain_s,
    }


def _pool(pool: Pool, form: NormalForm) -> dict[str, Any]:
    return {
        "pool": pool.name,
        "hardware": pool.accelerator.name,
        "domains": pool.domains,
        "gpus_per_domain": pool.gpus_per_domain,
        "usd_per_gpu_hour": pool.usd_per_gpu_hour,
        "price": pool.price_note,
        "all_to_all_bytes_per_s": domain_all_to_all_bytes_per_s(pool.accelerator, pool.gpus_per_domain),
        **_normal_form(form),
    }


def render_derived(payload: dict[str, Any]) -> str:
    """Text of `planner check`."""
    lines = [f"{payload['case']}: {payload['model']}, no problem found", ""]
    lines.append(
        f"weights {with_prefix(payload['weight_bytes'], 'B')}, KV {payload['kv_bytes_per_token']:,.0f} B a token"
    )
    if payload["index_bytes_per_token"]:
        lines.append(f"index of sparse attention {payload['index_bytes_per_token']:,.0f} B a token")
    if payload["state_bytes_per_sequence"]:
        lines.append(f"state {with_prefix(payload['state_bytes_per_sequence'], 'B')} a sequence, whatever its length")
    ways = ", ".join(map(str, payload["valid_tensor_parallel"]))
    lines.append(f"tensor parallelism that cuts no head and no quantisation block: {ways}")
    for pool in payload["pools"]:
        domains = "unlimited" if pool["domains"] is None else pool["domains"]
        lines += [
            "",
            f"pool {pool['pool']}: {domains} domains of {pool['gpus_per_domain']} {pool['hardware']} "
            f"at {pool['usd_per_gpu_hour']:.2f} $ a GPU-hour",
            f"  rho (roofline ratio)            {pool['rho']:,.1f}",
            f"  sigma (total / active weights)  {pool['sigma']:,.2f}",
            f"  B* (balance batch)              {pool['balance_batch']:,.0f} sequences",
            f"  L* (crossover context)          {pool['crossover_context']:,.0f} tokens",
            f"  chi (HBM / weights, a domain)   {pool['chi']:,.2f}",
            f"  one sweep of the weights        {seconds(pool['weight_sweep_s'])}",
            f"  one drain of HBM                {seconds(pool['drain_s'])}",
            f"  all-to-all inside a domain      {with_prefix(pool['all_to_all_bytes_per_s'], 'B/s')} a GPU",
        ]
    lines += ["", f"expert load: {payload['expert_load']}", f"calibration: {payload['calibration']}"]
    return "\n".join(lines)
