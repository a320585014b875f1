"""C24 to C28: how many tokens to train on, given how many will be served."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from planner.costs import scaling
from planner.instance.law import LossLaw, load_law
from planner.studies.claims.batch import MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import chip_named, model_named

if TYPE_CHECKING:
    from planner.studies.token_budget import TokenAnswer

SECONDS_A_DAY = 86400.0
GAP_OF_THE_DOSSIER = 7.6e-5
DEMANDS = {"26 T": 0.1, "65 T": 0.25, "130 T": 0.5, "259 T": 1.0, "518 T": 2.0, "2,592 T": 10.0}
"""Demands of C28 over the one of C26."""

PARAMS = Input("params", 100e9, "parameters", "active parameters of the model of the talk")
TRAINED = Input("tokens", 200e12, "tokens", "pre-training tokens of the model of the talk")
RATE = Input("tokens_per_s", 50e6, "tokens/s", "served by one model")
DAYS = Input("days", 60.0, "days", "for which it is served", varies=False)  # as the rate, of which it is a factor
PENALTY = Input("penalty", 3.0, "", "cost of a decode FLOP over a training FLOP")
LAW = Input("law", "hoffmann", "", "loss law of the library")
OTHER_LAW = Input("other_law", "besiroglu", "", "loss law that refits the same runs")


@cache
def _law(name: str) -> LossLaw:
    return load_law(name)


def budget(law: str, params: float, tokens: float, demand: float, penalty: float) -> TokenAnswer:
    """Return the certified cheapest model that reaches the loss of (``params``, ``tokens``), for a demand in tokens.

    Demand and penalty enter as their product only, so answers are kept by it (twelve digits).
    """
    return _budget(law, params, tokens, float(f"{demand * penalty:.12g}"))


@lru_cache(maxsize=4096)
def _budget(law: str, params: float, tokens: float, weighted_demand: float) -> TokenAnswer:
    from planner.studies.token_budget import TokenQuestion, token_budget

    question = TokenQuestion(inference_tokens=weighted_demand, match_params=params, match_tokens=tokens)
    return token_budget(question, _law(law))


def _of(values: Values, law: str, demand_share: float = 1.0) -> TokenAnswer:
    demand = demand_share * _served(values)
    return budget(values.text(law), values.number("params"), values.number("tokens"), demand, values.number("penalty"))


def _served(values: Values) -> float:
    """Tokens served over the model's life."""
    return values.number("tokens_per_s") * values.number("days") * SECONDS_A_DAY


def power_law_loss(rising: float, falling: float) -> float:
    """Extra cost of an equal split where x^p + x^-q is to be least: 2 over the least, less 1."""
    best = (falling / rising) ** (1.0 / (rising + falling))
    return 2.0 / float(best**rising + best**-falling) - 1.0


def _equal_spend(values: Values) -> Finding:
    """Cost of the equal split over the least cost, under a law, its refit, and plain power laws."""
    own, other = _of(values, "law"), _of(values, "other_law")
    cheap = budget(values.text("law"), values.number("params"), values.number("tokens"), _served(values), 1.0)
    powers = {f"x^{p:g} + x^-{q:g}": power_law_loss(p, q) for p, q in ((1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (1.0, 0.2))}
    return Finding(
        computed=1.0 + (own.equal_spend_regret or 0.0),
        figures=(
            *_answer("law", own),
            *_answer("refit", other),
            *_answer("penalty 1", cheap),
            *(Figure(f"loss from an equal split of {name}", loss) for name, loss in powers.items()),
            Figure("gap is within the dossier's, law", own.gap <= GAP_OF_THE_DOSSIER),
            Figure("gap is within the dossier's, refit", other.gap <= GAP_OF_THE_DOSSIER),
        ),
        otherwise=(
            Figure("equal split over least cost, refit", 1.0 + (other.equal_spend_regret or 0.0)),
            *(Figure(f"equal split over least cost, {name}", 1.0 + loss) for name, loss in powers.items()),
        ),
    )


def _answer(name: str, answer: TokenAnswer) -> tuple[Figure, ...]:
    return (
        Figure(f"active parameters, {name}", answer.params, "parameters"),
        Figure(f"pre-training tokens, {name}", answer.tokens, "tokens"),
        Figure(f"serving over training, {name}", answer.serving_over_training),
        Figure(f"over-training against 20, {name}", answer.overtraining_rule20),
        Figure(f"proven gap, {name}", answer.gap),
    )


def _token_ratios(values: Values) -> Finding:
    """Equate 6 N D_pre, factor N D_rl / efficiency and 2 N D_inf / efficiency."""
    efficiency, factor = values.number("decode_efficiency"), values.number("rl_factor")
    over_rl = _pre_over_rl(factor, efficiency)
    mfu = {name: _decode_mfu(values, name) for name in ("h800", "gb200_nvl72")}
    return Finding(
        computed=over_rl,
        figures=(
            Figure("pre-training over RL tokens", over_rl),
            Figure("pre-training over inference tokens", _pre_over_inference(efficiency)),
            Figure("pre-training over RL tokens, no inefficiency", _pre_over_rl(factor, 1.0)),
            Figure("pre-training over inference tokens, no inefficiency", _pre_over_inference(1.0)),
            Figure("pre-training over inference tokens at 30 %", _pre_over_inference(0.3)),
            Figure("pre-training over RL tokens at 30 %, factor 2", _pre_over_rl(2.0, 0.3)),
            Figure("pre-training over RL tokens at 30 %, factor 6", _pre_over_rl(6.0, 0.3)),
            *(Figure(f"decode MFU on {name}", share) for name, share in mfu.items()),
            *(
                Figure(f"penalty that serving on {name} implies", values.number("training_mfu") / share)
                for name, share in mfu.items()
            ),
        ),
    )


def _pre_over_rl(factor: float, efficiency: float) -> float:
    return factor / efficiency / scaling.PRETRAIN_FLOP_PER_PARAM_TOKEN


def _pre_over_inference(efficiency: float) -> float:
    return scaling.SERVE_FLOP_PER_PARAM_TOKEN / efficiency / scaling.PRETRAIN_FLOP_PER_PARAM_TOKEN


def _decode_mfu(values: Values, hardware: str) -> float:
    """Arithmetic of the measured decode throughput over the fp8 peak of the library's chip."""
    flop = scaling.serving_flop(model_named(values.text("model")).published_active_params, values.number(hardware))
    return flop / chip_named(hardware).peak_flop_per_s("fp8")


def _tokens_served(values: Values) -> Finding:
    served = _served(values)
    return Finding(
        computed=served,
        figures=(
            Figure("tokens served", served, "tokens"),
            Figure("tokens served in 61 days", values.number("tokens_per_s") * 61.0 * SECONDS_A_DAY, "tokens"),
            Figure(
                "tokens served at the talk's first 500e6 tokens/s",
                500e6 * values.number("days") * SECONDS_A_DAY,
                "tokens",
            ),
        ),
    )


def _optimum_of_twenty(values: Values) -> Finding:
    """Compute-optimal tokens by the rule of 20, and how far past them several runs are."""
    params, rule = values.number("params"), values.number("tokens_per_param")
    optimum, printed = rule * params, values.number("optimum_as_printed")
    model = model_named(values.text("model"))
    law = _law(values.text("law"))
    reached = scaling.loss(law, params, values.number("tokens"))
    by_law = scaling.compute_optimal_for_loss(law, reached)
    total = [optimum * sparsity for sparsity in (8.0, 18.0)]
    known = values.number("trained_on") / model.published_active_params
    return Finding(
        computed=optimum,
        figures=(
            Figure("over-training with 200 T", values.number("tokens") / optimum),
            Figure("over-training with the tokens of C26", _served(values) / optimum),
            Figure("over-training as printed", values.number("tokens") / printed, printed=100.0),
            Figure(
                "the printed optimum contradicts the printed ratio", not _near(values.number("tokens") / printed, 100.0)
            ),
            Figure("optimum for all parameters at sparsity 8", total[0], "tokens"),
            Figure("optimum for all parameters at sparsity 18", total[1], "tokens"),
            Figure("tokens a parameter by the law at that loss", by_law[1] / by_law[0] if by_law else 0.0),
            Figure("tokens a parameter of the model", known, source="DeepSeek V3 report: 14.8e12 tokens"),
            Figure("over-training of the model", known / rule),
        ),
    )


def _near(value: float, reference: float) -> bool:
    return abs(value / reference - 1.0) <= 0.05


def _spend_ratio(values: Values) -> Finding:
    """Optimal serving over training spend at one loss, by demand."""
    ratios = {name: _of(values, "law", share).serving_over_training for name, share in DEMANDS.items()}
    unsure = _of(values, "law", values.number("frontier_probability"))
    return Finding(
        computed=_of(values, "law").serving_over_training,
        figures=(
            *(Figure(f"serving over training at {name}", ratio) for name, ratio in ratios.items()),
            Figure("active parameters, derated demand", unsure.params, "parameters"),
            Figure("pre-training tokens, derated demand", unsure.tokens, "tokens"),
            Figure("serving over training, derated demand", unsure.serving_over_training),
            Figure("regret of equal spend", _of(values, "law").equal_spend_regret or 0.0),
        ),
        otherwise=(
            Figure("a tenth of the demand", ratios["26 T"]),
            Figure("ten times the demand", ratios["2,592 T"]),
        ),
    )


CLAIMS = (
    Claim(
        id="C24",
        topic="token budget",
        statement="Total cost is least when pre-training, RL and inference spend are equal.",
        equation="min 6 N D + 2 pen N I s.t. E + A N^-alpha + B D^-beta <= L; equal only if the exponents are",
        quantity="cost of the equal split over the least cost",
        unit="",
        printed=1.0,
        inputs=(PARAMS, TRAINED, RATE, DAYS, PENALTY, LAW, OTHER_LAW),
        compute=_equal_spend,
        acceptance=(
            Acceptance("active parameters, law", 97.7e9, relative=0.01),
            Acceptance("pre-training tokens, law", 210e12, relative=0.02),
            Acceptance("serving over training, law", 1.246, relative=0.01),
            Acceptance("over-training against 20, law", 106.0, relative=0.01),
            Acceptance("gap is within the dossier's, law", True),
            Acceptance("active parameters, refit", 119.0e9, relative=0.01),
            Acceptance("pre-training tokens, refit", 88.8e12, relative=0.01),
            Acceptance("serving over training, refit", 2.91, relative=0.01),
            Acceptance("over-training against 20, refit", 37.0, relative=0.02),
            Acceptance("gap is within the dossier's, refit", True),
            Acceptance("active parameters, penalty 1", 131e9, relative=0.01),
            Acceptance("pre-training tokens, penalty 1", 118e12, relative=0.01),
            Acceptance("serving over training, penalty 1", 0.735, relative=0.01),
            Acceptance("loss from an equal split of x^2 + x^-1", 0.058, absolute=5e-4),
            Acceptance("loss from an equal split of x^3 + x^-1", 0.140, absolute=5e-4),
            Acceptance("loss from an equal split of x^1 + x^-0.2", 0.275, absolute=5e-4),
        ),
        why="As a rule of thumb it loses 1 % under Hoffmann's law and 20 % under the refit, though the optimal split "
        "is not equal: serving over training should be 1.25, or 2.9.",
    ),
    Claim(
        id="C25",
        topic="token budget",
        statement="Pre-training takes 1.5 times the tokens of RL, and as many as inference.",
        equation="6 N D_pre = 3 N D_rl / eff = 2 N D_inf / eff",
        quantity="pre-training tokens over RL tokens at equal spend",
        unit="",
        printed=1.5,
        inputs=(
            Input("decode_efficiency", 1.0 / 3.0, "", "of decode, over training"),
            Input("rl_factor", 3.0, "FLOP", "per parameter and RL token, between 2 and 6"),
            Input("training_mfu", 0.375, "", "arithmetic used over peak in training"),
            MODEL,
            Input("h800", 1850.0, "tokens/s", "decoded per GPU: DeepSeek Day 6, 14.8e3 a node of eight"),
            Input("gb200_nvl72", 9087.0, "tokens/s", "decoded per GPU: SGLang on GB200, 25 September 2025, fp8"),
        ),
        compute=_token_ratios,
        acceptance=(
            Acceptance("pre-training over RL tokens", 1.5, relative=1e-12),
            Acceptance("pre-training over inference tokens", 1.0, relative=1e-12),
            Acceptance("pre-training over RL tokens, no inefficiency", 0.5, relative=1e-12),
            Acceptance("pre-training over inference tokens, no inefficiency", 0.333, absolute=1e-3),
            Acceptance("pre-training over inference tokens at 30 %", 1.11, absolute=0.005),
            Acceptance("pre-training over RL tokens at 30 %, factor 2", 1.11, absolute=0.005),
            Acceptance("pre-training over RL tokens at 30 %, factor 6", 3.33, absolute=0.005),
            Acceptance("decode MFU on h800", 0.069, relative=0.01),
            Acceptance("penalty that serving on h800 implies", 5.4, relative=0.01),
        ),
        why="The arithmetic holds with decode at a third of the efficiency of training. Measured serving puts the "
        "penalty at 2.5 to 5.4, around the 3 assumed.",
    ),
    Claim(
        id="C26",
        topic="token budget",
        statement="50 million tokens a second for two months is about 200 trillion tokens.",
        equation="rate x time",
        quantity="tokens served",
        unit="tokens",
        printed=200e12,
        inputs=(RATE, DAYS),
        compute=_tokens_served,
        acceptance=(
            Acceptance("tokens served", 259.2e12, relative=1e-3),
            Acceptance("tokens served in 61 days", 263.5e12, relative=1e-3),
            Acceptance("tokens served at the talk's first 500e6 tokens/s", 2.59e15, relative=1e-3),
        ),
        why="259 trillion: the printed number is 23 % low.",
    ),
    Claim(
        id="C27",
        topic="token budget",
        statement="The optimum for 100 B active parameters is about 20 trillion tokens; models train on 100 times it.",
        equation="D = 20 N",
        quantity="compute-optimal tokens by the rule",
        unit="tokens",
        printed=20e12,
        inputs=(
            PARAMS,
            TRAINED,
            RATE,
            DAYS,
            Input(
                "tokens_per_param", scaling.RULE_TOKENS_PER_PARAM, "tokens", "a parameter, the rule of Hoffmann et al."
            ),
            Input("optimum_as_printed", 20e12, "tokens", "the optimum as printed", varies=False),
            LAW,
            MODEL,
            Input("trained_on", 14.8e12, "tokens", "of the model (DeepSeek V3 report)"),
        ),
        compute=_optimum_of_twenty,
        acceptance=(
            Acceptance("over-training with 200 T", 100.0, relative=1e-9),
            Acceptance("over-training with the tokens of C26", 129.6, relative=1e-9),
            Acceptance("over-training as printed", 10.0, relative=1e-9),
            Acceptance("the printed optimum contradicts the printed ratio", True),
            Acceptance("optimum for all parameters at sparsity 8", 16e12, relative=1e-9),
            Acceptance("optimum for all parameters at sparsity 18", 36e12, relative=1e-9),
            Acceptance("tokens a parameter by the law at that loss", 148.0, relative=0.01),
            Acceptance("tokens a parameter of the model", 400.0, relative=0.01),
            Acceptance("over-training of the model", 20.0, relative=0.01),
        ),
        why="Twenty tokens a parameter make 2 trillion for 100 B. With the printed 20 trillion the ratio would be 10, "
        "not the 100 that the same text gives.",
    ),
    Claim(
        id="C28",
        topic="token budget",
        statement="Serving spend should equal training spend, otherwise money is wasted.",
        equation="C_inf / C_train = alpha A N^-alpha / (beta B D^-beta) - 1 at the optimum",
        quantity="optimal serving over training spend",
        unit="",
        printed=1.0,
        inputs=(
            PARAMS,
            TRAINED,
            RATE,
            DAYS,
            PENALTY,
            LAW,
            Input(
                "frontier_probability", 0.5, "", "that the model is at the frontier, which derates demand", varies=False
            ),
        ),
        compute=_spend_ratio,
        acceptance=(
            Acceptance("serving over training at 26 T", 0.36, relative=0.01),
            Acceptance("serving over training at 65 T", 0.63, relative=0.01),
            Acceptance("serving over training at 130 T", 0.90, relative=0.01),
            Acceptance("serving over training at 259 T", 1.25, relative=0.01),
            Acceptance("serving over training at 518 T", 1.66, relative=0.01),
            Acceptance("serving over training at 2,592 T", 2.96, relative=0.01),
            Acceptance("active parameters, derated demand", 118e9, relative=0.01),
            Acceptance("pre-training tokens, derated demand", 143e12, relative=0.01),
            Acceptance("serving over training, derated demand", 0.90, relative=0.01),
        ),
        why="About equal at the talk's own demand. At a tenth of it 0.36 is best, at ten times 2.96: the more a model "
        "is used, the more of its cost is serving.",
    ),
)
