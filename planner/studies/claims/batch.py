"""C1 to C5: what batching is worth, and how large a batch should be."""

from __future__ import annotations

import math

from planner.costs import compute
from planner.instance.quantities import PRECISION_BYTES
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import (
    RHO_OF_THE_TALK,
    SPARSITY_OF_THE_TALK,
    chip_named,
    form_of,
    model_named,
    plain_form,
)

ORDER_OF_MAGNITUDE = math.sqrt(10.0)

RHO = Input("rho", RHO_OF_THE_TALK, "", "roofline ratio (F/2) w / W of the chip")
SIGMA = Input("sigma", SPARSITY_OF_THE_TALK, "", "total over active parameters")
MODEL = Input("model", "deepseek-v3", "", "model of the library")
HARDWARE = Input("hardware", "nvl72_nominal", "", "accelerator of the library")


def _batching_gain(values: Values) -> Finding:
    """Cost of one sequence alone over the cost of the best batch: (B* + lambda) / max(1, lambda)."""
    form, crossover_share = plain_form(values.number("rho"), values.number("sigma")), values.number("lambda")
    gain = (form.balance_batch + crossover_share) / max(1.0, crossover_share)
    touched = _gain_with_touching(values)
    return Finding(
        computed=gain,
        figures=(
            Figure("all weights read", gain),
            Figure("lambda that gives 1000", form.balance_batch / (1000.0 - 1.0)),
            Figure("dense model", values.number("rho")),
        ),
        otherwise=(Figure("only the drawn experts read", touched),),
    )


def _gain_with_touching(values: Values) -> float:
    """Cost per token of one sequence over the compute floor where a step reads only the experts it draws.

    Weights read at batch 1 over all weights: dense part + routed part * touched share; the sweep costs B* floors.
    """
    model, rho = model_named(values.text("model")), values.number("rho")
    routed = float(model.moe_layers * model.routed_experts * model.expert_params)
    drawn = float(compute.touched_share(model.experts_per_token, model.routed_experts, 1.0))
    read = model.published_total_params - routed * (1.0 - drawn)
    return rho * read / model.published_active_params


def _cost_curve(values: Values) -> Finding:
    """Cost over the floor at several batches, and the least latency, one sweep of the weights."""
    form = form_of(values, int(values.number("gpus")))
    points = {share: form.relative_cost(share * form.balance_batch, 0.0) for share in (0.1, 0.5, 1.0)}
    return Finding(
        computed=points[0.1],
        figures=(
            *(Figure(f"cost over the floor at b = {share:g}", cost) for share, cost in points.items()),
            Figure("least step time", form.weight_sweep_s, "s"),
            Figure("step time of one sequence", form.relative_step_time(1.0, 0.0) * form.weight_sweep_s, "s"),
            Figure("least step time on eight H100", _sweep_s(values.text("model"), "h100", 8), "s"),
        ),
    )


def _sweep_s(model: str, hardware: str, gpus: int) -> float:
    return form_of(Values(model=model, hardware=hardware), gpus).weight_sweep_s


def _optimal_batch(values: Values) -> Finding:
    """B* = rho * sigma; with KV read, B* / (1 - lambda)."""
    chip, width = chip_named(values.text("hardware")), values.text("weights")
    form = plain_form(chip.roofline_ratio(width), values.number("sigma"))
    best, dense = form.balance_batch, plain_form(chip_named("h100").roofline_ratio("bf16"), 1.0).balance_batch
    ep144 = plain_form(chip_named("h800").roofline_ratio("fp8"), _sparsity(values.text("model"))).balance_batch
    return Finding(
        computed=best,
        figures=(
            Figure("with lambda = 0.25", best / 0.75, "sequences"),
            Figure("with lambda = 0.5", best / 0.5, "sequences"),
            Figure("dense model on H100 in bf16", dense, "sequences"),
            Figure("same, with lambda = 0.5", dense / 0.5, "sequences"),
            Figure(
                "DeepSeek's unit over its balance batch",
                values.number("sequences_of_ep144") / ep144,
                source="DeepSeek Day 6: 144 GPUs at 1,850 tokens/s each and 21 tokens/s a user",
            ),
        ),
    )


def _sparsity(model: str) -> float:
    entry = model_named(model)
    return entry.published_total_params / entry.published_active_params


def _sequences_of_deepseek(values: Values) -> Finding:
    """Balance batch of the model by three readings of how sparse it is."""
    model, rho = model_named(values.text("model")), values.number("rho")
    printed_ratio = model.routed_experts / values.number("experts_per_token_as_printed")
    by_experts = model.routed_experts / model.experts_per_token
    by_params = _sparsity(values.text("model"))
    printed = values.number("experts_per_token_as_printed")
    return Finding(
        computed=rho * by_params,
        figures=(
            Figure("as printed", rho * printed_ratio, "sequences", printed=2400.0),
            Figure("by parameters", rho * by_params, "sequences"),
            Figure("by experts", rho * by_experts, "sequences"),
            Figure("printed experts per token fit the model", printed == model.experts_per_token),
        ),
    )


def _stable_ratio(values: Values) -> Finding:
    """Roofline ratio of the chips the talk names (A100, H100, B200), and of their successors."""
    named = [("a100_40", "bf16"), ("a100_80", "bf16"), ("h100", "fp8"), ("b200_nominal", "fp8")]
    later = [("gb300_nvl72", "fp4"), ("rubin", "fp4"), ("tpu_v6e", "bf16")]
    ratios = {chip: chip_named(chip).roofline_ratio(width) for chip, width in named + later}
    inside = sorted(ratios[chip] for chip, _ in named)
    return Finding(
        computed=(inside[1] + inside[2]) / 2,
        figures=(
            *(Figure(f"rho of {chip}", ratio) for chip, ratio in ratios.items()),
            Figure("largest over smallest, A100 to B200", inside[-1] / inside[0]),
            Figure("int4 weights on H100, bf16 arithmetic", _narrow_ratio(values)),
        ),
    )


def _narrow_ratio(values: Values) -> float:
    """Narrower weights shrink the ratio by their width alone; here int4 as 0.5 B, without scales."""
    chip = chip_named("h100")
    return chip.roofline_ratio("bf16") * values.number("int4_bytes") / PRECISION_BYTES["bf16"]


CLAIMS = (
    Claim(
        id="C1",
        topic="batch",
        statement="Without batching a request costs 1000 times more.",
        equation="cost(B = 1) / cost(best B) = (B* + lambda) / max(1, lambda)",
        quantity="cost of one sequence alone over the cost in the best batch",
        unit="",
        printed=1000.0,
        inputs=(RHO, SIGMA, Input("lambda", 0.0, "", "context over crossover context"), MODEL),
        compute=_batching_gain,
        acceptance=(
            Acceptance("all weights read", 2400.0, relative=1e-3),
            Acceptance("only the drawn experts read", 304.0, relative=0.02),
            Acceptance("all weights read", 1000.0, relative=1e-3, given={"lambda": 2.4024}),
            Acceptance("dense model", 300.0, relative=1e-3),
        ),
        agree=ORDER_OF_MAGNITUDE - 1.0,
        rounded=ORDER_OF_MAGNITUDE,
        why="An order of magnitude, and only where a lone sequence reads every weight. It reads only the experts it "
        "draws, which costs about rho times the floor for any model.",
    ),
    Claim(
        id="C2",
        topic="batch",
        statement="Unit cost falls steeply with the batch, then flattens, and latency has a floor.",
        equation="cost / floor = max(1, 1/b + lambda); latency >= w N_tot / W",
        quantity="cost over the floor at a tenth of the balance batch",
        unit="",
        printed=10.0,
        inputs=(MODEL, HARDWARE, Input("gpus", 72.0, "GPUs", "GPUs that share the weights", varies=False)),
        compute=_cost_curve,
        acceptance=(
            Acceptance("cost over the floor at b = 0.1", 10.0, relative=1e-9),
            Acceptance("cost over the floor at b = 0.5", 2.0, relative=1e-9),
            Acceptance("cost over the floor at b = 1", 1.0, relative=1e-9),
            Acceptance("least step time", 1.165e-3, relative=1e-3),
            Acceptance("step time of one sequence", 1.165e-3, relative=1e-3),
            Acceptance("least step time on eight H100", 25.04e-3, relative=1e-3),
        ),
        why="A hyperbola cut by the compute floor; the kink is at B*, the latency floor is one sweep of the weights.",
    ),
    Claim(
        id="C3",
        topic="batch",
        statement="The optimal batch is about 300 times the sparsity.",
        equation="B* = rho sigma; with KV read, B* / (1 - lambda)",
        quantity="balance batch",
        unit="sequences",
        printed=RHO_OF_THE_TALK * SPARSITY_OF_THE_TALK,
        inputs=(
            Input("hardware", "h100", "", "accelerator of the library"),
            Input("weights", "fp8", "", "format of the weights"),
            SIGMA,
            MODEL,
            Input("sequences_of_ep144", 144 * 1850 / 21.0, "sequences", "in service on DeepSeek's decode unit"),
        ),
        compute=_optimal_batch,
        acceptance=(
            Acceptance("dense model on H100 in bf16", 295.0, absolute=5.0),
            Acceptance("same, with lambda = 0.5", 590.0, absolute=10.0),
            Acceptance("DeepSeek's unit over its balance batch", 2.37, relative=0.01),
        ),
        why="Right for H100 and B200, whose ratio is 281 to 313. Chips that followed are at 469 to 568, see C5.",
    ),
    Claim(
        id="C4",
        topic="batch",
        statement="DeepSeek, which activates 32 of 256 experts, needs about 2,400 concurrent sequences.",
        equation="B* = rho N_tot / N_act",
        quantity="balance batch of the model",
        unit="sequences",
        printed=2400.0,
        inputs=(
            RHO,
            MODEL,
            Input("experts_per_token_as_printed", 32.0, "experts", "routed experts per token as printed", varies=False),
        ),
        compute=_sequences_of_deepseek,
        acceptance=(
            Acceptance("as printed", 2400.0, relative=1e-9),
            Acceptance("by parameters", 5440.0, relative=0.01),
            Acceptance("by experts", 9600.0, relative=1e-9),
            Acceptance("printed experts per token fit the model", False),
        ),
        why="8 of 256 experts are active, besides one shared. By parameters (671 over 37) the balance batch is 5,440.",
    ),
    Claim(
        id="C5",
        topic="batch",
        statement="The ratio of about 300 has been stable from A100 to B100.",
        equation="rho = (F/2) w / W",
        quantity="median ratio of the chips named",
        unit="",
        printed=300.0,
        inputs=(Input("int4_bytes", 0.5, "B", "bytes of an int4 weight, without its scale"),),
        compute=_stable_ratio,
        acceptance=(
            Acceptance("rho of a100_40", 201.0, relative=0.01),
            Acceptance("rho of a100_80", 153.0, relative=0.01),
            Acceptance("rho of h100", 295.0, relative=0.01),
            Acceptance("rho of b200_nominal", 281.0, relative=0.01),
            Acceptance("rho of gb300_nvl72", 469.0, relative=0.01),
            Acceptance("rho of rubin", 568.0, relative=0.01),
            Acceptance("rho of tpu_v6e", 560.0, relative=0.01),
            Acceptance("int4 weights on H100, bf16 arithmetic", 74.0, relative=0.01),
        ),
        why="Within a factor of 1.9 looking back to A100, and again looking forward to GB300 and Rubin.",
    ),
)
