"""C23: whether price tables reveal the model behind them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from planner.errors import InstanceError
from planner.instance.price_table import PriceTable, load_price_table
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import chip_named
from planner.studies.claims.prices import DAY_OF_DEEPSEEK, audited_usd_per_mtok, long_context_of

STEP_AND_STORAGE = ("input_price", "context_step", "storage_price")
"""The clue pair of step and storage; both are compared through the input price, whose margin they share."""
SPANS_ALMOST_NOTHING = 10.0


@dataclass(frozen=True)
class Inferred:
    """What the price inference says of one table: clues agree or not, least factor that mends them, width of N_act."""

    agree: bool
    least_factor: float
    active_params_span: float


@cache
def _table(name: str) -> PriceTable:
    return load_price_table(name)


@cache
def _inferred(name: str, tolerance: float) -> Inferred:
    """Ask the program of `planner infer prices`, weights in fp8, the step taken as the crossover, any margin from 1."""
    from planner.studies.inference import Inference, Reading, question_of

    reading = Reading(tolerance=tolerance, precision="fp8", large_batch=True, only=STEP_AND_STORAGE)
    inference = Inference(question_of(_table(name), reading))
    stretch = inference.least_stretch(inference.clues, inference.clues) or {}
    factor = 1.0
    for each in stretch.values():
        factor *= max(each, 1.0 / each)
    params = inference.interval("active_params", ("input_price",), tight=False)
    span = params[1] / params[0] if params else 1.0
    return Inferred(inference.possible(inference.clues), factor, span)


def crossover_tokens(name: str, mfu: float) -> float:
    """L* = MFU (p_in / p_store) / drain [tokens], where margin, parameters and GPU price cancel (seed claims, C22)."""
    found = _combinations(name).get("crossover_tokens_at_full_mfu")
    if found is None:
        raise InstanceError.single(name, "cache_writes", "the table tells no price of holding a token", "another")
    return mfu * found


@cache
def _combinations(name: str) -> dict[str, float]:
    from planner.studies.inference import combinations_of

    return combinations_of(_table(name))


def _disagreement(name: str, mfu: float) -> float:
    """Factor between the context step and the crossover that input and storage price imply, at least 1."""
    ratio = long_context_of(name).threshold_tokens / crossover_tokens(name, mfu)
    return max(ratio, 1.0 / ratio)


def _price_over_cost(name: str, active_params: float, mfu: float) -> float:
    """Input price over what the FLOP of an input token cost on the table's own machine, weights in fp8."""
    table = _table(name)
    flop_per_s = mfu * chip_named(table.machine.hardware).peak_flop_per_s("fp8")
    cost_usd = 2.0 * active_params / flop_per_s * table.machine.usd_per_gpu_hour / 3600.0
    return table.input_usd_per_mtok / 1e6 / cost_usd


def _prices_reveal(values: Values) -> Finding:
    """Compare two clues over the crossover, in which margins cancel, for three tables; and levels, in which not."""
    mfu, tolerance = values.number("mfu"), values.number("tolerance")
    names = {kind: values.text(kind) for kind in ("claude", "gemini", "older_gemini")}
    apart = {kind: _disagreement(names[kind], mfu) for kind in ("claude", "gemini")}
    inferred = {kind: _inferred(names[kind], tolerance) for kind in ("claude", "gemini")}
    level = _price_over_cost(names["gemini"], values.number("active_params"), values.number("usual_mfu"))
    span, audited = inferred["gemini"].active_params_span, audited_usd_per_mtok(values)
    return Finding(
        computed=apart["claude"],
        figures=(
            *(
                Figure(f"crossover implied, {kind}", crossover_tokens(name, mfu), "tokens")
                for kind, name in names.items()
            ),
            *(Figure(f"step and storage agree at some margin, {kind}", each.agree) for kind, each in inferred.items()),
            *(Figure(f"least relaxation, {kind}", each.least_factor) for kind, each in inferred.items()),
            Figure("greatest over least N_act from the input price", span),
            Figure("N_act is known to a factor of 10", span <= SPANS_ALMOST_NOTHING),
            Figure("input price over its FLOP, gemini", level),
            Figure("DeepSeek's input price over cost", values.number("deepseek_in_price") / audited["uncached"]),
            Figure("DeepSeek's output price over cost", values.number("deepseek_out_price") / audited["output"]),
        ),
        field=(Figure("step against storage, gemini", apart["gemini"]),),
    )


CLAIMS = (
    Claim(
        id="C23",
        topic="prices",
        statement="API prices reveal the architecture, because vendors price near cost.",
        equation="L* = MFU (p_in / p_store) / drain, against the context step",
        quantity="factor between two price clues on the crossover context, Claude",
        unit="",
        printed=1.0,
        inputs=(
            Input("mfu", 1.0, "", "arithmetic used over peak, in the crossover implied"),
            Input("usual_mfu", 0.4, "", "arithmetic used over peak, in what an input token costs", varies=False),
            Input(
                "active_params",
                100e9,
                "parameters",
                "of the model guessed at, in what an input token costs",
                varies=False,
            ),
            Input("tolerance", 0.1, "", "of every clue in the inference", varies=False),
            Input("claude", "claude-sonnet-4.6", "", "price table of the library"),
            Input("gemini", "gemini-3.1-pro", "", "price table of the library"),
            Input("older_gemini", "gemini-2.5-pro", "", "price table of the library"),
            Input("deepseek_in_price", 0.55, "$/Mtok", "R1, February 2025", varies=False),
            Input("deepseek_out_price", 2.19, "$/Mtok", "R1, February 2025", varies=False),
            *DAY_OF_DEEPSEEK,
        ),
        compute=_prices_reveal,
        acceptance=(
            Acceptance("crossover implied, claude", 183e3, relative=0.01),
            Acceptance("crossover implied, gemini", 67e3, relative=0.01),
            Acceptance("crossover implied, older_gemini", 42e3, relative=0.01),
            Acceptance("step and storage agree at some margin, gemini", False),
            Acceptance("step and storage agree at some margin, claude", True),
            Acceptance("least relaxation, gemini", 3.0, relative=0.03),
            Acceptance("least relaxation, claude", 1.09, relative=0.01),
            Acceptance("N_act is known to a factor of 10", False),
            Acceptance("input price over its FLOP, gemini", 32.0, relative=0.02),
            Acceptance("DeepSeek's input price over cost", 4.0, relative=0.01),
            Acceptance("DeepSeek's output price over cost", 7.3, relative=0.01),
        ),
        agree=0.1,
        why="Ratios of prices, in which margins cancel, agree for Claude within 10 %; for Gemini they are a factor "
        "of 3 apart at every margin. Levels say almost nothing: they lie 4 to 32 times above cost.",
    ),
)
