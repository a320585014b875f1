"""The whole serving question in three numbers: b, lambda and chi (seed claims dossier, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel


@dataclass(frozen=True)
class NormalForm:
    """Derived numbers of one model on one domain, from the published parameter counts.

    Attributes
    ----------
    rho
        Roofline ratio (F/2) w / W.
    sigma
        Total over active parameters.
    balance_batch
        B* = rho sigma [sequences].
    crossover_context
        L* = w N_active / (rho k) [tokens]: KV reading alone equals compute.
    chi
        HBM of the domain over the weight bytes.
    weight_sweep_s
        One read of all weights by the whole domain [s].
    drain_s
        One read of all HBM [s].
    """

    rho: float
    sigma: float
    balance_batch: float
    crossover_context: float
    chi: float
    weight_sweep_s: float
    drain_s: float

    def relative_step_time(self, batch: float, context_tokens: float) -> float:
        """Step time over one weight sweep: max(b, 1 + lambda b)."""
        b, crossover_share = batch / self.balance_batch, context_tokens / self.crossover_context
        return max(b, 1.0 + crossover_share * b)

    def relative_cost(self, batch: float, context_tokens: float) -> float:
        """Cost per token over the compute floor: max(1, 1/b + lambda)."""
        b, crossover_share = batch / self.balance_batch, context_tokens / self.crossover_context
        return max(1.0, 1.0 / b + crossover_share)

    def fits(self, batch: float, context_tokens: float) -> bool:
        """Weights and KV fit the domain's HBM: 1 + lambda b <= chi."""
        b, crossover_share = batch / self.balance_batch, context_tokens / self.crossover_context
        return 1.0 + crossover_share * b <= self.chi


def normal_form(model: MoeModel, accelerator: Accelerator, gpus: int) -> NormalForm:
    """Compute the normal form of ``model`` on a domain of ``gpus``."""
    precision = model.weights.routed_experts if model.moe_layers else model.weights.dense_ffn
    width = PRECISION_BYTES[precision]
    rho = accelerator.roofline_ratio(precision)
    sigma = model.published_total_params / model.published_active_params
    weights = width * model.published_total_params
    return NormalForm(
        rho=rho,
        sigma=sigma,
        balance_batch=rho * sigma,
        crossover_context=width * model.published_active_params / (rho * model.kv_bytes_per_token),
        chi=gpus * accelerator.hbm_bytes / weights,
        weight_sweep_s=weights / (gpus * accelerator.hbm_bytes_per_s),
        drain_s=accelerator.drain_s(),
    )
