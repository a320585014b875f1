"""What several claims ask of the library: normal forms by name, the rule of touched experts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from planner.costs.normal_form import NormalForm, normal_form
from planner.instance.loading import load_accelerator, load_model
from planner.studies.claims.claim import Input

if TYPE_CHECKING:
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel
    from planner.studies.claims.claim import Values

RHO_OF_THE_TALK = 300.0
SPARSITY_OF_THE_TALK = 8.0

RACKS = Input("racks", 2.0, "racks", "racks that share the experts", whole=True)


@cache
def model_named(name: str) -> MoeModel:
    """Model of the library, read once."""
    return load_model(name)


@cache
def chip_named(name: str) -> Accelerator:
    """Accelerator of the library, read once."""
    return load_accelerator(name)


def form_of(values: Values, gpus: int | None = None) -> NormalForm:
    """Return the normal form of the inputs ``model`` and ``hardware`` on one scale-up domain, or on ``gpus``."""
    chip = chip_named(values.text("hardware"))
    return normal_form(model_named(values.text("model")), chip, gpus or chip.scale_up_domain_gpus)


def plain_form(rho: float, sigma: float) -> NormalForm:
    """Return the normal form of a machine and model known by ratio only: L* and chi are not bound."""
    return NormalForm(
        rho=rho,
        sigma=sigma,
        balance_batch=rho * sigma,
        crossover_context=float("inf"),
        chi=float("inf"),
        weight_sweep_s=1.0,
        drain_s=float("inf"),
    )


IN_UNITS = NormalForm(
    rho=1.0,
    sigma=1.0,
    balance_batch=1.0,
    crossover_context=1.0,
    chi=float("inf"),
    weight_sweep_s=1.0,
    drain_s=float("inf"),
)
"""The normal form in which a batch is b and a context is lambda: any machine, any model."""
