"""Expert loads: which share of a layer's tokens each expert gets, generated from a seed or read from an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.instance.case import ExpertLoadSpec
    from planner.instance.model import MoeModel


def generate(spec: ExpertLoadSpec | None, model: MoeModel) -> NDArray[np.float64]:
    """Draw loads for every MoE layer.

    Each layer multiplies one lognormal factor per router group by one per expert, as the recorded DeepSeek-V3 tables
    look like a lognormal with sigma 0.5-0.8 (expert placement dossier, section 5).

    Returns
    -------
    array [moe_layer, expert]
        Shares of the layer's token-expert assignments; each row sums to 1. Without a spec the load is uniform.
    """
    shape = (model.moe_layers, model.routed_experts)
    if model.moe_layers == 0:
        return np.zeros((0, 0))
    if spec is None:
        return np.full(shape, 1.0 / model.routed_experts)
    draw = np.random.default_rng(spec.seed)
    # abs: a sigma of -0.0 is refused
    groups = draw.lognormal(0.0, abs(spec.group_sigma), (model.moe_layers, model.router_groups))
    experts = draw.lognormal(0.0, abs(spec.sigma), shape)
    return normalised(experts * np.repeat(groups, model.routed_experts // model.router_groups, axis=1))


def recorded(loads: NDArray[np.float64], model: MoeModel, file: str) -> NDArray[np.float64]:
    """Check an engine's loads [layer, expert] against a model; all-zero rows are dense layers and are dropped.

    Returns
    -------
    array [moe_layer, expert]
        Shares; each row sums to 1.

    Raises
    ------
    InstanceError
        If the table has another shape, or holds a load that is negative or not finite.
    """
    if loads.ndim != 2:
        raise InstanceError.single(file, "", f"has shape {loads.shape}", "give a table [layer, expert]")
    if not np.isfinite(loads).all() or (loads < 0).any():
        layer, expert = np.argwhere(~np.isfinite(loads) | (loads < 0))[0].tolist()
        message = f"layer {layer}, expert {expert}: {loads[layer, expert]} is not a load"
        raise InstanceError.single(file, "", message, "give counts of 0 or more")
    rows = loads[loads.sum(axis=1) > 0]
    if rows.shape != (model.moe_layers, model.routed_experts):
        message = (
            f"{rows.shape[0]} layers with load x {rows.shape[1]} experts, but {model.name} has {model.moe_layers} "
            f"MoE layers x {model.routed_experts} experts"
        )
        raise InstanceError.single(file, "", message, "give the loads of this model")
    return normalised(rows)


def normalised(load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each row of ``load`` [layer, expert] to sum to 1."""
    return np.asarray(load / load.sum(axis=1, keepdims=True), dtype=np.float64)
