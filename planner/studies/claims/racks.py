"""C12, C14 and C15: what leaving a rack costs, and whether one rack bounds the model."""

from __future__ import annotations

from functools import cache

from planner.costs import compute, network
from planner.instance.quantities import PRECISION_BYTES
from planner.studies.claims.batch import HARDWARE, MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import RACKS, chip_named, model_named
from planner.topology import crossing
from planner.topology.domain_rate import two_level_all_to_all_bytes_per_s

RATIO = Input("ratio", 8.0, "", "rate inside a rack over rate out of it, per GPU, as printed")
RATIOS = (8.0, 9.0, 18.0)
BYTES_A_SEND = PRECISION_BYTES["fp8"] + PRECISION_BYTES["bf16"]
"""Bytes of one hidden value to an expert and back: dispatch in fp8, combine in bf16, as DeepSeek serves."""


def _slower_out(values: Values) -> Finding:
    """Rate inside the scale-up domain over the NIC's, and what it does to a two-rack all-to-all."""
    chip = chip_named(values.text("hardware"))
    ratio = chip.scale_up_bytes_per_s / values.number("nic_bytes_per_s")
    listed = {name: chip_named(name) for name in ("h100", "gb200_nvl72", "nvl72_nominal", "h800")}
    return Finding(
        computed=ratio,
        figures=(
            *(
                Figure(f"ratio of {name}", entry.scale_up_bytes_per_s / entry.scale_out_bytes_per_s)
                for name, entry in listed.items()
            ),
            *(Figure(f"two-rack all-to-all at ratio {h:g}", _slowdown(h, 2), "times slower") for h in RATIOS),
            *(Figure(f"same by the flow program, ratio {h:g}", _slowdown_by_flow(h), "times slower") for h in RATIOS),
        ),
    )


def _slowdown(ratio: float, racks: int) -> float:
    """All-to-all time on several racks over one rack: max(1 - f, h f) with f = (R - 1) / R."""
    return 1.0 / two_level_all_to_all_bytes_per_s(1.0, 1.0 / ratio, (racks - 1) / racks)


@cache
def _slowdown_by_flow(ratio: float) -> float:
    """Slow-down of two racks of 72 GPUs by the largest concurrent flow; the own chunk moves no byte."""
    from planner.topology.builders import nvlink_racks
    from planner.topology.flow import all_to_all_rate_bytes_per_s

    one, two = (
        all_to_all_rate_bytes_per_s(
            nvlink_racks(racks, 72, scale_up_bytes_per_s=900e9, scale_out_bytes_per_s=900e9 / ratio),
            count_own_chunk=False,
        )
        for racks in (1, 2)
    )
    return one / two


def _arithmetic_s(values: Values) -> float:
    """Arithmetic of a token in one layer on one GPU [s], in fp8."""
    model, chip = model_named(values.text("model")), chip_named(values.text("hardware"))
    return float(
        compute.gemm_s(
            model.published_active_params / model.layers,
            1.0,
            weight_bytes_per_param=0.0,
            flop_per_s=chip.peak_flop_per_s("fp8"),
            bytes_per_s=chip.hbm_bytes_per_s,
        )
    )


def _all_to_all_s(values: Values, inside: float, outside: float) -> float:
    """Dispatch and combine of a token in one layer [s]: sends inside the rack, and out of it ``ratio`` times slower."""
    model, chip = model_named(values.text("model")), chip_named(values.text("hardware"))
    return float(
        network.all_to_all_s(
            1.0,
            BYTES_A_SEND * model.hidden_size,
            destinations=inside,
            remote_domains=outside,
            scale_up_bytes_per_s=chip.scale_up_bytes_per_s,
            scale_out_bytes_per_s=chip.scale_up_bytes_per_s / values.number("ratio"),
            imbalance=1.0,
            latency_s=0.0,
        )
    )


def _bottleneck(values: Values) -> Finding:
    """Slow-down of the all-to-all on several racks, against arithmetic, with and without sending once a rack."""
    model, ratio, racks = model_named(values.text("model")), values.number("ratio"), int(values.number("racks"))
    drawn, share = model.experts_per_token, (racks - 1) / racks
    once = crossing.distinct_remote_destinations(model.routed_experts, drawn, racks)
    arithmetic, one_rack = _arithmetic_s(values), _all_to_all_s(values, drawn, 0.0)
    each, dedup = (_all_to_all_s(values, drawn * (1 - share), sends) for sends in (drawn * share, once))
    tokens = values.number("batch") / chip_named(values.text("hardware")).scale_up_domain_gpus
    outside = _all_to_all_s(values, 0.0, 1.0)
    return Finding(
        computed=_slowdown(ratio, racks),
        figures=(
            Figure("arithmetic of a token and layer", arithmetic, "s"),
            Figure("all-to-all in one rack", one_rack, "s"),
            Figure("all-to-all, every expert sent to", each, "s"),
            Figure("all-to-all, every rack sent to once", dedup, "s"),
            Figure("network over arithmetic, every expert", each / arithmetic),
            Figure("network over arithmetic, every rack once", dedup / arithmetic),
            *(Figure(f"slow-down on {count} racks", _slowdown(ratio, count)) for count in (2, 4, 8)),
            Figure("share that crosses at which arithmetic and network are equal", arithmetic / (drawn * outside)),
            Figure("share up to which nothing slows down", 1.0 / ratio),
            Figure("share at which links in and out are equal", 1.0 / (1.0 + ratio)),
            Figure("layer of a 20 ms step", values.number("step_s") / model.layers, "s"),
            Figure("its traffic out of the rack", tokens * each, "s"),
            *_across_islands(values),
        ),
        field=(
            Figure(
                "slow-down with every rack sent to once",
                dedup / one_rack,
                source="engines send a token once a rack (DeepEP); closed form for uniform routing",
            ),
        ),
    )


def _across_islands(values: Values) -> tuple[Figure, ...]:
    """DeepSeek's decode unit over 18 islands: traffic of a step [s] over the step that users saw."""
    model, chip = model_named("deepseek-v3"), chip_named("h800")
    gpus, islands = 144, 144 // chip.scale_up_domain_gpus
    tokens, drawn = values.number("sequences_of_ep144") / gpus, model.experts_per_token
    link = BYTES_A_SEND * model.hidden_size * model.moe_layers / chip.scale_out_bytes_per_s
    once = crossing.distinct_remote_destinations(model.routed_experts, drawn, islands)
    traffic = {"every expert": drawn * (islands - 1) / islands, "every island once": once}
    return tuple(
        Figure(f"traffic of a step over 18 islands, {name}", tokens * sends * link, "s", source="DeepSeek Day 6")
        for name, sends in traffic.items()
    )


def _one_rack_bounds(values: Values) -> Finding:
    """GPUs of the largest domain whose all-to-all hides behind arithmetic, and the most parameters that serve."""
    gpus = chip_named(values.text("hardware")).scale_up_domain_gpus
    most = {precision: _most_params(values, precision) for precision in ("fp8", "fp4")}
    uses = {size: _uses(values, size) for size in (1e12, 5e12)}
    return Finding(
        computed=float(gpus * _racks_that_hide(values, once=False)),
        figures=(
            *(
                Figure(f"most parameters by {limit}, {precision}", params, "parameters")
                for precision, limits in most.items()
                for limit, params in limits.items()
            ),
            Figure("limit reached first, fp8", min(most["fp8"], key=lambda limit: most["fp8"][limit])),
            *(
                Figure(f"{limit} used by {size / 1e12:g} T parameters in fp8", use)
                for size, limits in uses.items()
                for limit, use in limits.items()
            ),
            *(
                Figure(f"what binds {size / 1e12:g} T parameters", max(limits, key=lambda limit: limits[limit]))
                for size, limits in uses.items()
            ),
            Figure("parameters that one more GPU serves, fp8", min(most["fp8"].values()) / gpus, "parameters"),
        ),
        otherwise=(
            Figure("if a token is sent to a rack once", float(gpus * _racks_that_hide(values, once=True)), "GPUs"),
        ),
    )


def _racks_that_hide(values: Values, *, once: bool) -> int:
    """Most racks over which the all-to-all takes no longer than arithmetic; 1 where two are too many already."""
    model, arithmetic = model_named(values.text("model")), _arithmetic_s(values)
    racks, drawn = 1, model.experts_per_token
    while racks < model.routed_experts:
        share = racks / (racks + 1)
        rack_once = crossing.distinct_remote_destinations(model.routed_experts, drawn, racks + 1)
        if _all_to_all_s(values, drawn * (1 - share), rack_once if once else drawn * share) > arithmetic:
            break
        racks += 1
    return racks


def _most_params(values: Values, precision: str) -> dict[str, float]:
    """Most total parameters of one rack: what its HBM holds, and what it reads within a step."""
    chip = chip_named(values.text("hardware"))
    gpus, width = chip.scale_up_domain_gpus, PRECISION_BYTES[precision]
    return {
        "capacity": gpus * chip.hbm_bytes / width,
        "latency": gpus * chip.hbm_bytes_per_s * values.number("step_s") / width,
    }


def _uses(values: Values, params: float) -> dict[str, float]:
    """Share of each limit that a model in fp8 uses; network: all-to-all in the rack over arithmetic."""
    model = model_named(values.text("model"))
    limits = {limit: params / most for limit, most in _most_params(values, "fp8").items()}
    return limits | {"network": _all_to_all_s(values, model.experts_per_token, 0.0) / _arithmetic_s(values)}


CLAIMS = (
    Claim(
        id="C12",
        topic="racks",
        statement="Crossing racks is eight times slower.",
        equation="h = rate inside the rack / rate of the NIC, per GPU",
        quantity="rate inside over rate outside",
        unit="",
        printed=8.0,
        inputs=(HARDWARE, Input("nic_bytes_per_s", 100e9, "B/s", "NIC of a GPU, one way: 800 Gb/s as in later racks")),
        compute=_slower_out,
        acceptance=(
            Acceptance("ratio of h100", 9.0, relative=1e-9),
            Acceptance("ratio of nvl72_nominal", 18.0, relative=1e-9),
            *(
                Acceptance(f"two-rack all-to-all at ratio {ratio:g}", expected, absolute=1e-9)
                for ratio, expected in zip(RATIOS, (4.0, 4.5, 9.0), strict=True)
            ),
            *(
                Acceptance(f"same by the flow program, ratio {ratio:g}", expected, relative=0.02)
                for ratio, expected in zip(RATIOS, (4.0, 4.5, 9.0), strict=True)
            ),
        ),
        why="Rounded to the low side: 9 with 800 Gb/s a GPU, as on H100; GB200 racks with 400 Gb/s have 18.",
    ),
    Claim(
        id="C14",
        topic="racks",
        statement="Half of the tokens cross at an eighth of the rate, so the network becomes the bottleneck.",
        equation="slow-down = max(1 - f, h f), f = (R - 1) / R",
        quantity="all-to-all time over that of one rack",
        unit="",
        printed=4.0,
        inputs=(
            RATIO,
            RACKS,
            MODEL,
            HARDWARE,
            Input("batch", 2400.0, "sequences", "sequences in a step"),
            Input("step_s", 0.020, "s", "step as printed, see C9"),
            Input("sequences_of_ep144", 144 * 1850 / 21.0, "sequences", "in service on DeepSeek's decode unit"),
        ),
        compute=_bottleneck,
        acceptance=(
            Acceptance("arithmetic of a token and layer", 0.270e-6, relative=0.01),
            Acceptance("all-to-all in one rack", 0.191e-6, relative=0.01),
            Acceptance("all-to-all, every expert sent to", 0.765e-6, relative=0.01),
            Acceptance("all-to-all, every rack sent to once", 0.190e-6, relative=0.01),
            Acceptance("network over arithmetic, every expert", 2.84, relative=0.01),
            Acceptance("network over arithmetic, every rack once", 0.71, relative=0.01),
            Acceptance("slow-down on 2 racks", 4.0, absolute=1e-9),
            Acceptance("slow-down on 4 racks", 6.0, absolute=1e-9),
            Acceptance("slow-down on 8 racks", 7.0, absolute=1e-9),
            Acceptance("share that crosses at which arithmetic and network are equal", 0.176, relative=0.01),
            Acceptance("share at which links in and out are equal", 0.111, absolute=1e-3),
            Acceptance("share at which links in and out are equal", 0.0526, absolute=1e-4, given={"ratio": 18.0}),
            Acceptance("share up to which nothing slows down", 0.125, absolute=1e-9),
            Acceptance("layer of a 20 ms step", 328e-6, relative=0.01),
            Acceptance("its traffic out of the rack", 25e-6, relative=0.025),
            Acceptance("traffic of a step over 18 islands, every expert", 16.6e-3, relative=0.01),
            Acceptance("traffic of a step over 18 islands, every island once", 13.9e-3, relative=0.01),
        ),
        why="Four times slower, but only if every expert is sent to on its own, and a bottleneck only where arithmetic "
        "binds the step. Sent once a rack, two racks are as fast as one; DeepSeek serves over 18 islands.",
    ),
    Claim(
        id="C15",
        topic="racks",
        statement="One rack bounds the mixture of experts: 72 GPUs are the bottleneck of scaling.",
        equation="all-to-all time <= arithmetic time; w N_tot <= C; w N_tot / W <= step",
        quantity="largest domain whose all-to-all hides behind arithmetic",
        unit="GPUs",
        printed=72.0,
        inputs=(RATIO, MODEL, HARDWARE, Input("step_s", 0.020, "s", "longest sweep of the weights, the talk's step")),
        compute=_one_rack_bounds,
        acceptance=(
            Acceptance("most parameters by capacity, fp8", 13.82e12, relative=0.01),
            Acceptance("most parameters by capacity, fp4", 27.65e12, relative=0.01),
            Acceptance("capacity used by 1 T parameters in fp8", 0.072, relative=0.01),
            Acceptance("capacity used by 5 T parameters in fp8", 0.36, relative=0.01),
            Acceptance("what binds 1 T parameters", "network"),
            Acceptance("what binds 5 T parameters", "network"),
            Acceptance("limit reached first, fp8", "latency"),
        ),
        why="True if every expert is sent to on its own and links out of the rack have an eighth of the rate: sent to "
        "once, two racks hide as well. Capacity does not bind: a rack holds 13.8 T parameters in fp8.",
    ),
)
