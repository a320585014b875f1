"""C16 and C17: what a larger scale-up domain is worth."""

from __future__ import annotations

from functools import cache

from planner.costs.memory import fullest_stage
from planner.instance.quantities import PRECISION_BYTES
from planner.studies.claims.batch import MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import chip_named, form_of, model_named
from planner.topology.domain_rate import (
    torus_all_to_all_bytes_per_s,
    torus_link_bytes_per_s,
    two_level_all_to_all_bytes_per_s,
)

SIDES = (4, 8, 12, 16)
HOPPERS = (64, 512, 4096)
RACKS_OF_72 = (2, 4, 8)


def _torus_rate(name: str, side: int) -> float:
    """All-to-all rate of a chip in a cube of chips, own chunk counted [B/s]."""
    return torus_all_to_all_bytes_per_s((side,) * 3, torus_link_bytes_per_s(chip_named(name)))


def _domains_rate(name: str, gpus: int, nic_bytes_per_s: float) -> float:
    """All-to-all rate of a GPU over several switched domains, own chunk counted [B/s]."""
    chip = chip_named(name)
    share = 1.0 - chip.scale_up_domain_gpus / gpus
    return two_level_all_to_all_bytes_per_s(chip.scale_up_bytes_per_s, nic_bytes_per_s, share)


def _larger_tori(values: Values) -> Finding:
    """Rate of a torus over its rivals: Hopper islands of the day, one NVL72, and several."""
    nic = values.number("nic_bytes_per_s")
    hopper = {gpus: _domains_rate("h100", gpus, nic) for gpus in HOPPERS}
    rack = chip_named("nvl72_nominal").scale_up_bytes_per_s
    printed_nic = rack / values.number("ratio")
    small = _torus_rate("tpu_v5p", 4) / hopper[64]
    later = _torus_rate("tpu7x", 4)
    return Finding(
        computed=small,
        holds=small > 1.0,
        figures=(
            *(
                Figure(f"{name}, {side**3:,} chips", _torus_rate(name, side), "B/s")
                for name in ("tpu_v5p", "tpu7x")
                for side in SIDES
            ),
            Figure("NVL72, 72 GPUs", rack, "B/s"),
            *(
                Figure(f"NVL72, {72 * n} GPUs over {label}", _domains_rate("nvl72_nominal", 72 * n, rate), "B/s")
                for label, rate in (("the NIC", nic), ("the printed ratio", printed_nic))
                for n in RACKS_OF_72
            ),
            *(Figure(f"H100, {gpus:,} GPUs", rate, "B/s") for gpus, rate in hopper.items()),
            Figure("v5p over H100 at 64 chips", small, "times"),
            Figure("v5p over H100 at 512 chips", _torus_rate("tpu_v5p", 8) / hopper[512], "times"),
            Figure("chips at which v5p and H100 tie", _tie(nic), "chips"),
            Figure("NVL72 over 64 chips of TPU7x", rack / later, "times"),
            *(Figure(name, rate, "links") for name, rate in _by_flow().items()),
        ),
        otherwise=(
            Figure("a torus of 64 chips beats one NVL72", later > rack),
            Figure(
                "512 chips beat eight NVL72 over the NIC",
                _torus_rate("tpu7x", 8) > _domains_rate("nvl72_nominal", 576, nic),
            ),
            Figure(
                "512 chips beat eight NVL72 over the printed ratio",
                _torus_rate("tpu7x", 8) > _domains_rate("nvl72_nominal", 576, printed_nic),
            ),
        ),
    )


def _tie(nic_bytes_per_s: float) -> float:
    """Chips at which a cube of v5p, 8 w / n a chip, is as fast as H100 islands; bisection on the side n."""
    link = torus_link_bytes_per_s(chip_named("tpu_v5p"))
    low, high = 4.0, 1000.0
    for _ in range(60):
        side = (low + high) / 2
        faster = 8.0 * link / side > nic_bytes_per_s / (1.0 - chip_named("h100").scale_up_domain_gpus / side**3)
        low, high = (side, high) if faster else (low, side)
    return low**3


@cache
def _by_flow() -> dict[str, float]:
    """All-to-all rate of cubes with links of rate 1, by the largest concurrent flow."""
    from planner.topology.builders import torus
    from planner.topology.flow import all_to_all_rate_bytes_per_s

    small, large = torus((4, 4, 4)), torus((6, 6, 6))
    return {
        "4 x 4 x 4 by the flow program": all_to_all_rate_bytes_per_s(small),
        "same, without the own chunk": all_to_all_rate_bytes_per_s(small, count_own_chunk=False),
        "6 x 6 x 6 by the flow program": all_to_all_rate_bytes_per_s(large),
    }


def _sweeps(values: Values) -> Finding:
    """Sweep of the weights on 8 GPUs over that on more of the same kind, and over that on the whole later rack."""
    model, later, gpus = values.text("model"), values.text("hardware"), int(values.number("gpus"))
    before = form_of(Values(model=model, hardware="h100"), 8).weight_sweep_s
    rack = chip_named(later)
    alone = form_of(Values(model=model, hardware=later), 8).weight_sweep_s
    used = form_of(Values(model=model, hardware=later), gpus).weight_sweep_s
    whole = form_of(Values(model=model, hardware=later)).weight_sweep_s
    return Finding(
        computed=alone / used,
        figures=(
            Figure("sweep on 8 H100", before, "s"),
            Figure("sweep on the rack", whole, "s"),
            Figure("speed-up in all", before / whole),
            Figure("of which by GPUs", rack.scale_up_domain_gpus / 8),
            Figure("of which by bandwidth of each", rack.hbm_bytes_per_s / chip_named("h100").hbm_bytes_per_s),
            *(
                Figure(f"sweep of {stages} stages over that of one", _staged_sweep(model, later, stages))
                for stages in (2, 4, 8)
            ),
        ),
    )


def _staged_sweep(model_name: str, hardware: str, stages: int) -> float:
    """Sum of the sweeps of pipeline stages, a domain each, over the sweep of all weights by one domain."""
    model, chip = model_named(model_name), chip_named(hardware)
    rate = chip.scale_up_domain_gpus * chip.hbm_bytes_per_s
    width = PRECISION_BYTES[model.weights.routed_experts]
    per_layer = width * model.published_total_params / model.layers
    layers = [int(fullest_stage(model, stages).layers)]
    while sum(layers) < model.layers:
        layers.append(min(layers[0], model.layers - sum(layers)))
    return sum(count * per_layer / rate for count in layers) / (width * model.published_total_params / rate)


CLAIMS = (
    Claim(
        id="C16",
        topic="racks",
        statement="Gemini got ahead because TPU domains are larger and all-to-all is more efficient there.",
        equation="n^3 torus of links w: 8 w / n a chip; R domains: min(up / (1 - f), out / f), f = (R - 1) / R",
        quantity="all-to-all rate of a chip among 64, v5p over H100",
        unit="",
        printed=None,
        inputs=(
            Input("nic_bytes_per_s", 50e9, "B/s", "NIC of a GPU, one way: 400 Gb/s"),
            Input("ratio", 8.0, "", "rate inside a rack over rate out of it, per GPU, as printed"),
        ),
        compute=_larger_tori,
        acceptance=(
            *(
                Acceptance(f"{name}, {side**3:,} chips", rate * 1e9, relative=0.02)
                for name, rates in (("tpu_v5p", (180, 90, 60, 45)), ("tpu7x", (200, 100, 67, 50)))
                for side, rate in zip(SIDES, rates, strict=True)
            ),
            Acceptance("NVL72, 72 GPUs", 900e9, relative=1e-9),
            *(
                Acceptance(f"NVL72, {72 * n} GPUs over {label}", rate * 1e9, relative=0.02)
                for label, rates in (("the NIC", (100, 67, 57)), ("the printed ratio", (225, 150, 129)))
                for n, rate in zip(RACKS_OF_72, rates, strict=True)
            ),
            *(
                Acceptance(f"H100, {gpus:,} GPUs", rate * 1e9, relative=0.02)
                for gpus, rate in zip(HOPPERS, (57.0, 50.8, 50.1), strict=True)
            ),
            Acceptance("v5p over H100 at 64 chips", 3.2, relative=0.02),
            Acceptance("v5p over H100 at 512 chips", 1.8, relative=0.02),
            Acceptance("chips at which v5p and H100 tie", 2900.0, relative=0.03),
            Acceptance("NVL72 over 64 chips of TPU7x", 4.5, relative=0.02),
            Acceptance("4 x 4 x 4 by the flow program", 2.0, absolute=1e-3),
            Acceptance("same, without the own chunk", 1.969, absolute=1e-3),
            Acceptance("6 x 6 x 6 by the flow program", 1.333, absolute=1e-3),
        ),
        why="Against the H100 islands of 2023 and 2024 the torus wins, 3.2 times at 64 chips, up to about 3,000. "
        "Against one NVL72 it loses; against several it depends on the NIC. The cause is a guess of the host.",
    ),
    Claim(
        id="C17",
        topic="racks",
        statement="A larger scale-up domain cuts latency, because the bandwidths of its GPUs add up.",
        equation="t_w = w N_tot / (G W)",
        quantity="sweep on 8 GPUs over that on the 64 that are used",
        unit="",
        printed=8.0,
        inputs=(
            MODEL,
            Input("hardware", "nvl72_nominal", "", "accelerator of the library"),
            Input("gpus", 64.0, "GPUs", "GPUs that share the weights", whole=True),
        ),
        compute=_sweeps,
        acceptance=(
            Acceptance("sweep on 8 H100", 25.04e-3, relative=0.005),
            Acceptance("sweep on the rack", 1.165e-3, relative=0.005),
            Acceptance("speed-up in all", 21.49, relative=0.005),
            Acceptance("of which by GPUs", 9.0, absolute=1e-9),
            Acceptance("of which by bandwidth of each", 2.39, absolute=0.005),
            *(Acceptance(f"sweep of {stages} stages over that of one", 1.0, absolute=1e-9) for stages in (2, 4, 8)),
        ),
        why="21.5 times from 8 H100 to a rack: 9 times the GPUs, 2.39 times the bandwidth of each. Pipeline stages do "
        "not help, since they act one after another.",
    ),
)
