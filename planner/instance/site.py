"""A profile as it holds at one site: factors from its own points become factors of its accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem
from planner.instance.weights import with_weights

if TYPE_CHECKING:
    from planner.instance.calibration import Calibration, SiteCorrection
    from planner.instance.model import MoeModel


def corrections_for(calibration: Calibration, model: MoeModel, engine: str | None) -> tuple[SiteCorrection, ...]:
    """Corrections of a profile that hold for a model in its formats under an engine (None: whichever was measured).

    Raises
    ------
    InstanceError
        If no engine is named and two were measured on one accelerator.
    """
    found = tuple(
        entry
        for entry in calibration.site
        if entry.model == model.name and engine in (None, entry.engine) and same_formats(model, entry.precision)
    )
    hardware = [entry.hardware for entry in found]
    twice = sorted({name for name in hardware if hardware.count(name) > 1})
    if twice:
        message = f"holds several corrections of {model.name} on {', '.join(twice)}"
        raise InstanceError([Problem(calibration.name, "site", message, "name the engine in the case: engine = ...")])
    return found


def same_formats(model: MoeModel, precision: str) -> bool:
    """Whether a precision label means the format that the bulk of the model's weights is in; an empty one always."""
    if not precision:
        return True
    named = with_weights(model, precision).weights
    if model.moe_layers:
        return named.routed_experts == model.weights.routed_experts
    return named.dense_ffn == model.weights.dense_ffn


def at_site(calibration: Calibration, model: MoeModel, engine: str | None) -> Calibration:
    """Return the profile with the factors of its corrections on decode steps and on TTFT, by accelerator.

    Raises
    ------
    InstanceError
        As :func:`corrections_for`.
    """
    found = corrections_for(calibration, model, engine)
    if not found:
        return calibration
    chips, ttft = dict(calibration.chips), dict(calibration.ttft_chips)
    for entry in found:
        chips[entry.hardware] = chips.get(entry.hardware, 1.0) * entry.tpot_factor
        ttft[entry.hardware] = ttft.get(entry.hardware, 1.0) * entry.ttft_factor
    return calibration.model_copy(update={"chips": chips, "ttft_chips": ttft})
