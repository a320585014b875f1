"""What a map costs: seconds of a step by cause, and dollars where the GPUs have a price.

One layer takes as long as its slowest GPU computes and its fullest port carries: max over GPUs of the expert time, plus
the dispatch and combine of the tokens. Layers follow one another, so a step is the sum over layers. The scalar
formulas are those of `planner.costs`; only the busiest GPU and port are taken from the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs import compute
from planner.errors import InstanceError
from planner.instance.quantities import PRECISION_BYTES
from planner.strategies.dispatch import copies_per_node, copy_fraction
from planner.topology.domain_rate import domain_all_to_all_bytes_per_s

if TYPE_CHECKING:
    from planner.instance.calibration import Calibration
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel
    from planner.instance.prices import GpuPrice
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.routed_traffic import Traffic
    from planner.strategies.routing import UnitTable

HOUR_S = 3600.0


@dataclass(frozen=True)
class StepModel:
    """A model on one kind of GPU, as seconds per unit of work.

    Attributes
    ----------
    model, accelerator, calibration
        What runs where, and how far it stays behind the data sheet; decode efficiencies.
    tokens_per_gpu
        Tokens of a step that start on each GPU in use.
    deduplicate
        Whether a token is sent once per unit, or once per expert.
    oversubscription
        Scale-out rate inside a rack over that across racks.
    price
        Price of a GPU-hour, where known.
    """

    model: MoeModel
    accelerator: Accelerator
    calibration: Calibration
    tokens_per_gpu: float
    deduplicate: bool = True
    oversubscription: float = 1.0
    price: GpuPrice | None = None

    def step_tokens(self, request: PlacementRequest) -> float:
        """Tokens of a step over all GPUs in use."""
        return self.tokens_per_gpu * int((request.slots > 0).sum())

    @property
    def bytes_per_send(self) -> float:
        """Bytes of one token to one destination and back."""
        links = self.calibration.network
        return self.model.hidden_size * (links.dispatch_bytes_per_number + links.combine_bytes_per_number)

    @property
    def expert_bytes(self) -> float:
        """Weight bytes of one expert of one layer."""
        return self.model.expert_params * PRECISION_BYTES[self.model.weights.routed_experts]

    @property
    def seconds_per_assignment(self) -> float:
        """Arithmetic time of one token in one expert."""
        return float(
            compute.expert_compute_s(1.0, 0.0, self.model.expert_params, flop_per_s=self._flop_per_s, half_tokens=0.0)
        )

    @property
    def seconds_per_touched_slot(self) -> float:
        """Time to read one expert."""
        rate = self.calibration.decode.expert_weight_bandwidth * self.accelerator.hbm_bytes_per_s
        return float(compute.expert_read_s(1.0, self.expert_bytes, bytes_per_s=rate))

    @property
    def half_tokens(self) -> float:
        """Tokens whose arithmetic a touched slot costs on top."""
        return self.calibration.decode.expert_half_tokens

    @property
    def _flop_per_s(self) -> float:
        peak = self.accelerator.peak_flop_per_s(self.model.weights.routed_experts)
        share, exponent = self.calibration.decode.expert_compute, self.calibration.compute_exponent
        return float(compute.reached_flop_per_s(share, peak, exponent))

    def port_seconds_per_byte(self, request: PlacementRequest, units: UnitTable) -> FloatArray:
        """Seconds that a byte takes into each unit over its own port, shape [unit]; 0 where a level costs nothing.

        A GPU's port is its scale-up link. The units that are whole scale-up domains, nodes or racks, receive over the
        scale-out links of their GPUs together; racks above them over those links divided by the oversubscription.

        Raises
        ------
        InstanceError
            If the GPUs fill several scale-up domains and no level of the layout says which.
        """
        links, chip = self.calibration.network, self.accelerator
        domain = chip.scale_up_domain_gpus
        in_use = int((request.slots > 0).sum())
        inside = domain_all_to_all_bytes_per_s(chip, max(min(in_use, domain, request.gpus_per_node or domain), 1))
        out = links.scale_out * chip.scale_out_bytes_per_s
        sizes = [1, request.gpus_per_node or request.gpus]
        sizes.append(sizes[1] * (request.nodes_per_rack or 1))
        outer = [level for level in range(1, len(units.levels)) if sizes[level] >= domain]
        if request.gpus > domain and not outer:
            message = f"{request.gpus} GPUs of {chip.name} fill several scale-up domains of {domain}"
            remedy = f"give --gpus-per-node, and --nodes-per-rack where nodes share a domain, up to {domain} GPUs"
            raise InstanceError.single("command line", "--gpus-per-node", message, remedy)
        rate = np.zeros(len(units.levels))
        rate[0] = links.scale_up * inside if domain > 1 else out
        for rank, level in enumerate(outer):
            rate[level] = out / (self.oversubscription if units.levels[level] == "rack" and rank else 1.0)
        per_unit = rate[units.level_of_unit] * np.where(units.level_of_unit == 0, 1, units.gpus_in_unit)
        return np.asarray(np.where(per_unit > 0, 1.0 / np.where(per_unit > 0, per_unit, 1.0), 0.0))

    def latency_s(self, request: PlacementRequest) -> float:
        """Latency of dispatch and combine of one layer, two of each; 0 on one GPU."""
        if int((request.slots > 0).sum()) < 2:
            return 0.0
        far = request.gpus > self.accelerator.scale_up_domain_gpus
        link = self.accelerator.scale_out_latency_s if far else self.accelerator.scale_up_latency_s
        return 2.0 * (self.calibration.network.all_to_all_latency_s + link)


@dataclass(frozen=True, eq=False)
class StepSeconds:
    """Seconds of a step, shape [layer] each; 0 for dense layers.

    ``expert`` is the time of the busiest GPU, ``expert_ideal`` that of equal GPU times at the same work, ``link`` the
    dispatch and combine.
    """

    expert: FloatArray
    expert_ideal: FloatArray
    link: FloatArray

    @property
    def total(self) -> float:
        """Seconds of all MoE layers of a step."""
        return float(self.expert.sum() + self.link.sum())


def expert_seconds(request: PlacementRequest, row: IntArray, load: FloatArray, step: StepModel) -> FloatArray:
    """Time of each GPU in one layer, shape [gpu]: max(touched slots read, tokens computed) over its speed.

    Parameters
    ----------
    request, row
        Layout, dispatch rule, and the map row [slots_total].
    load
        Tokens of each expert in any unit, shape [expert]; a token chooses expert e with chance k w_e / sum w.
    step
        Rates; a copy is touched with the chance 1 - (1 - its share of the tokens)^tokens.
    """
    tokens = step.step_tokens(request)
    chance = step.model.experts_per_token * load / load.sum()
    fraction = copy_fraction(copies_per_node(row, request), request)
    node = np.repeat(request.node_of_gpu, request.slot_width)
    held = row >= 0
    share = np.where(held, chance[np.maximum(row, 0)] * fraction[np.maximum(row, 0), node], 0.0)
    shape = (request.gpus, request.slot_width)
    touched = compute.touched_share(share, 1.0, tokens).reshape(shape).sum(axis=1)  # type: ignore[union-attr]
    arithmetic = step.seconds_per_assignment * (tokens * share.reshape(shape).sum(axis=1) + step.half_tokens * touched)
    pace = request.relative_speed
    return np.asarray(
        np.where(pace > 0, np.maximum(arithmetic, step.seconds_per_touched_slot * touched), 0.0)
        / np.where(pace > 0, pace, 1.0)
    )


def step_seconds(
    request: PlacementRequest, physical_to_logical_map: IntArray, step: StepModel, traffic: Traffic
) -> StepSeconds:
    """Price a map; several load scenarios count as their mean."""
    expert, ideal, link = np.zeros((3, request.layers))
    weights = request.relative_speed / request.relative_speed.sum()
    port = step.port_seconds_per_byte(request, traffic.units) * step.step_tokens(request) * step.bytes_per_send
    carried = traffic.sends if step.deduplicate else traffic.assignments
    for layer in np.flatnonzero(~request.dense_layers).tolist():
        seen = [load for load in request.load[:, layer] if load.any()]
        times = np.stack([expert_seconds(request, physical_to_logical_map[layer], load, step) for load in seen])
        expert[layer] = times.max(axis=1).mean()
        ideal[layer] = (times @ weights).mean()
        if not np.isnan(carried[layer]).any():
            link[layer] = step.latency_s(request) + float((port * carried[layer]).max())
    return StepSeconds(expert, ideal, link)


def cost_report(request: PlacementRequest, seconds: StepSeconds, step: StepModel) -> dict[str, Any]:
    """Seconds of a step by cause, replica memory, and dollars where a price is known, as JSON.

    Dollars of an hour of the GPUs in use are split by what their time goes to while these layers run: ``expert`` (the
    work itself, perfectly spread), ``imbalance`` (waiting for the busiest GPU) and ``link``. Replicas keep
    ``replica_memory`` from the KV cache: their bytes at the price of a GPU-hour over its HBM.
    """
    spare = int(request.slots.sum()) - request.experts
    layers = int((~request.dense_layers).sum())
    replica_bytes = spare * layers * step.expert_bytes
    total, expert, ideal = seconds.total, float(seconds.expert.sum()), float(seconds.expert_ideal.sum())
    report: dict[str, Any] = {
        "model": step.model.name,
        "hardware": step.accelerator.name,
        "calibration": step.calibration.name,
        "tokens_per_gpu": step.tokens_per_gpu,
        "layers_priced": layers,
        "step_seconds": {"expert": expert, "link": float(seconds.link.sum()), "total": total},
        "imbalance_seconds": expert - ideal,
        "replica_memory_bytes": replica_bytes,
        "usd": None,
    }
    if step.price is not None:
        fleet = step.price.usd_per_gpu_hour * int((request.slots > 0).sum())
        memory = step.price.usd_per_gpu_hour * replica_bytes / step.accelerator.hbm_bytes
        report["usd"] = {
            "usd_per_gpu_hour": step.price.usd_per_gpu_hour,
            "price_column": step.price.column,
            "price_source": f"{step.price.source}, {step.price.date}",
            "per_hour": {
                "expert": fleet * ideal / total,
                "imbalance": fleet * (expert - ideal) / total,
                "link": fleet * float(seconds.link.sum()) / total,
                "replica_memory": memory,
                "total": fleet + memory,
            },
            "per_million_tokens": (fleet + memory) * total / HOUR_S / step.step_tokens(request) * 1e6,
        }
    return report
