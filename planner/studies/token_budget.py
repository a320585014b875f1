"""How large a model and how many tokens, given how much it will be used: one question, one certified answer a law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from formulations import token_budget as formulation
from planner.costs import scaling
from planner.costs.scaling import SpendRates
from planner.errors import InstanceError, NoPlanFound, Problem, SolverError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from formulations.token_budget import TokenBudgetSolution
    from planner.instance.law import LossLaw

SMALLEST, LARGEST_TOKENS = 1e-24, 1e24
LARGEST = {"loss": 1e3, "budget_flop": 1e36, "decode_penalty": 1e6, "rl_ratio": 1e6, "rl_flop_per_param_token": 1e6}
"""Numbers of a question beyond any training run; powers of more leave the range of a float."""

_AGREEMENT = 1e-9
"""Greatest relative difference between the formulation's objective and the scalar primitives' value of the plan."""


@dataclass(frozen=True)
class TokenQuestion:
    """What is asked: exactly one of ``loss``, ``match_params`` and ``budget_flop``, and the demand.

    Tokens are counts over the model's life, prices dollars per FLOP (training FLOP; serving FLOP before the penalty).
    RL tokens are given, as a number or as a multiple of the pre-training tokens: they cost and do not enter the loss
    law. ``rl_flop_per_param_token`` defaults to 6 + 2 decode_penalty: each rollout generated once and trained on once.
    """

    inference_tokens: float
    loss: float | None = None
    match_params: float | None = None
    match_tokens: float | None = None
    budget_flop: float | None = None
    decode_penalty: float = 1.0
    rl_tokens: float | None = None
    rl_ratio: float | None = None
    rl_flop_per_param_token: float | None = None
    train_usd_per_flop: float | None = None
    serve_usd_per_flop: float | None = None

    def check(self) -> None:
        """Raise ``InstanceError`` with every problem of the question; do nothing if it has none."""
        problems = [*self._bad_numbers(), *self._bad_combinations()]
        if problems:
            raise InstanceError(problems)

    def _bad_numbers(self) -> Iterable[Problem]:
        may_be_zero = {"inference_tokens", "rl_tokens", "rl_ratio"}
        for name, value in vars(self).items():
            if value is None:
                continue
            if not math.isfinite(value):
                yield _problem(name, f"{value} is not a finite number", "give a number such as 100e9")
            elif value < 0 or (value == 0 and name not in may_be_zero):
                least = "zero or more" if name in may_be_zero else "greater than zero"
                yield _problem(name, f"{value:g} must be {least}", "correct the number")
            elif value and not SMALLEST <= value <= LARGEST.get(name, LARGEST_TOKENS):
                span = f"{SMALLEST:g} and {LARGEST.get(name, LARGEST_TOKENS):g}"
                yield _problem(name, f"{value:g} must lie between {span}", "correct the number")

    def _bad_combinations(self) -> Iterable[Problem]:
        targets = [name for name in ("loss", "match_params", "budget_flop") if getattr(self, name) is not None]
        if len(targets) != 1:
            given = " and ".join(_flag(name) for name in targets) or "none"
            yield _problem(
                "loss", f"one target is needed, {given} given", "give --loss, --match-params or --budget-flop"
            )
        if self.match_tokens is not None and self.match_params is None:
            yield _problem("match_tokens", "has no meaning without --match-params", "add --match-params or remove it")
        if self.rl_tokens is not None and self.rl_ratio is not None:
            yield _problem("rl_tokens", "excludes --rl-ratio", "give one of them")
        if (self.train_usd_per_flop is None) != (self.serve_usd_per_flop is None):
            missing = "train_usd_per_flop" if self.train_usd_per_flop is None else "serve_usd_per_flop"
            yield _problem(missing, "prices come in pairs", "give both prices or neither")

    @property
    def priced(self) -> bool:
        """Whether spend is counted in dollars."""
        return self.train_usd_per_flop is not None and self.serve_usd_per_flop is not None

    def flop_rates(self) -> SpendRates:
        """Spend per active parameter in training FLOP."""
        return self._rates(1.0, 1.0)

    def spend_rates(self) -> SpendRates:
        """Spend per active parameter in dollars where prices are given, else in training FLOP."""
        if self.train_usd_per_flop is None or self.serve_usd_per_flop is None:
            return self.flop_rates()
        return self._rates(self.train_usd_per_flop, self.serve_usd_per_flop)

    def _rates(self, train_price: float, serve_price: float) -> SpendRates:
        rl_factor = self.rl_flop_per_param_token or scaling.rl_flop_per_param_token(self.decode_penalty)
        per_token = scaling.PRETRAIN_FLOP_PER_PARAM_TOKEN + rl_factor * (self.rl_ratio or 0.0)
        return SpendRates(
            per_token=train_price * per_token,
            rl=train_price * rl_factor * (self.rl_tokens or 0.0),
            serving=serve_price * scaling.serving_flop(1.0, self.inference_tokens, self.decode_penalty),
        )

    def target_loss(self, law: LossLaw) -> float | None:
        """Loss to reach [nats a token]; None where a budget is given instead."""
        if self.match_params is None:
            return self.loss
        return scaling.loss(
            law, self.match_params, self.match_tokens or scaling.law_optimal_tokens(law, self.match_params)
        )


@dataclass(frozen=True)
class TokenAnswer:
    """A certified token budget under one law.

    ``gap`` is (cost - bound) / cost of what was minimised: FLOP, dollars where priced, loss where a budget was given.
    ``log_gap`` is the difference of logs that the cuts close (of cost, or of the loss above the law's floor).
    ``bound_flop`` is a proven lower bound on the FLOP of any plan that reaches ``loss``. ``serving_over_training`` and
    ``equal_spend_regret`` count in the unit of the spend; the regret is what the rule "spend as much on serving as on
    training" costs extra for the same loss, None where the rule cannot reach it.
    """

    law: str
    params: float
    tokens: float
    rl_tokens: float
    loss: float
    cost_flop: float
    bound_flop: float
    cost_usd: float | None
    bound_usd: float | None
    bound_loss: float | None
    gap: float
    log_gap: float
    overtraining_rule20: float
    overtraining_law: float
    serving_over_training: float
    equal_spend_regret: float | None
    rule20_params: float | None
    rule20_tokens: float | None
    rule20_loss: float | None
    warnings: tuple[str, ...]
    rounds: int
    seconds: float


def token_budget(question: TokenQuestion, law: LossLaw) -> TokenAnswer:
    """Answer the question under one law.

    Raises
    ------
    InstanceError
        If the question is malformed; every problem is listed.
    NoPlanFound
        If no model reaches the loss, or the budget does not pay for one parameter and one token.
    SolverError
        If the bounds do not meet or the evaluation of the plan disagrees with the formulation.
    """
    question.check()
    rates, target = question.spend_rates(), question.target_loss(law)
    if target is None:
        budget = question.budget_flop or math.nan
        solution = formulation.solve(formulation.best_quality(law, question.flop_rates(), budget))
        evaluated = scaling.excess_loss(law, solution.params, solution.tokens)
    else:
        solution = formulation.solve(formulation.cheapest(law, rates, target))
        evaluated = rates.total(solution.params, solution.tokens)
    if abs(evaluated / math.exp(solution.ln_objective) - 1) > _AGREEMENT:
        raise SolverError(f"token budget: evaluation {evaluated!r} disagrees with {math.exp(solution.ln_objective)!r}")
    if min(solution.params, solution.tokens) < 1:
        raise NoPlanFound(
            [f"under law {law.name} the answer is less than one parameter or one token: nothing to train"]
        )
    return _answer(question, law, solution)


def under_laws(question: TokenQuestion, laws: Iterable[LossLaw]) -> dict[str, TokenAnswer | NoPlanFound]:
    """Answer under several laws side by side; a law that has no plan gives its reasons.

    Raises
    ------
    NoPlanFound
        If no law has a plan, with the reasons of each.
    """
    answers: dict[str, TokenAnswer | NoPlanFound] = {}
    for law in laws:
        try:
            answers[law.name] = token_budget(question, law)
        except NoPlanFound as error:
            answers[law.name] = error
    failures = [answer for answer in answers.values() if isinstance(answer, NoPlanFound)]
    if answers and len(failures) == len(answers):
        raise NoPlanFound([reason for failure in failures for reason in failure.reasons])
    return answers


def _answer(question: TokenQuestion, law: LossLaw, solution: TokenBudgetSolution) -> TokenAnswer:
    params, tokens, rates, flop = solution.params, solution.tokens, question.spend_rates(), question.flop_rates()
    reached, bound, budget = scaling.loss(law, params, tokens), math.exp(solution.ln_bound), question.budget_flop
    least_loss = None if budget is None else law.irreducible_loss + bound
    relative_gap = -math.expm1(-solution.log_gap)
    rule = None if budget is None else flop.at_tokens_per_param(budget, scaling.RULE_TOKENS_PER_PARAM)
    return TokenAnswer(
        law=law.name,
        params=params,
        tokens=tokens,
        rl_tokens=question.rl_tokens or (question.rl_ratio or 0.0) * tokens,
        loss=reached,
        cost_flop=flop.total(params, tokens),
        bound_flop=_bound_flop(question, law, solution),
        cost_usd=rates.total(params, tokens) if question.priced else None,
        bound_usd=bound if question.priced and budget is None else None,
        bound_loss=least_loss,
        gap=relative_gap if least_loss is None else max(0.0, 1 - least_loss / reached),
        log_gap=solution.log_gap,
        overtraining_rule20=tokens / (scaling.RULE_TOKENS_PER_PARAM * params),
        overtraining_law=tokens / scaling.law_optimal_tokens(law, params),
        serving_over_training=params * rates.serving / rates.training(params, tokens),
        equal_spend_regret=_equal_spend_regret(rates, law, reached, rates.total(params, tokens)),
        rule20_params=rule and rule[0],
        rule20_tokens=rule and rule[1],
        rule20_loss=rule and scaling.loss(law, *rule),
        warnings=tuple(range_warnings(law, params, tokens)),
        rounds=solution.rounds,
        seconds=solution.seconds,
    )


def _bound_flop(question: TokenQuestion, law: LossLaw, solution: TokenBudgetSolution) -> float:
    """Least FLOP of any plan that reaches the plan's loss; a program of its own unless that is what was solved."""
    flop = question.flop_rates()
    if question.budget_flop is not None or question.priced:
        reached = scaling.loss(law, solution.params, solution.tokens)
        bound = math.exp(formulation.solve(formulation.cheapest(law, flop, reached)).ln_bound)
    else:
        bound = math.exp(solution.ln_bound)
    return min(bound, flop.total(solution.params, solution.tokens))


def _equal_spend_regret(rates: SpendRates, law: LossLaw, target_loss: float, best: float) -> float | None:
    tokens = scaling.equal_spend_tokens(rates)
    params = None if tokens is None else scaling.params_for_loss(law, tokens, target_loss)
    return None if tokens is None or params is None else max(0.0, rates.total(params, tokens) / best - 1)


def range_warnings(law: LossLaw, params: float, tokens: float) -> Iterable[str]:
    """Name each way in which a plan lies outside the runs behind the law."""
    flop = scaling.training_flop(params, tokens)
    for value, (least, greatest), what in (
        (params, law.fitted_params, "parameters"),
        (tokens / params, law.fitted_tokens_per_param, "tokens per parameter"),
        (flop, law.fitted_training_flop, "pre-training FLOP"),
    ):
        if not least <= value <= greatest:
            yield f"{value:.3g} {what}: law {law.name} was fitted between {least:.3g} and {greatest:.3g}; extrapolated"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _problem(name: str, message: str, remedy: str) -> Problem:
    return Problem("tokens", _flag(name), message, remedy)
