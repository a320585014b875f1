"""Scalar primitives of the token budget: loss laws, law-optimal tokens, training and serving FLOP, spending rules.

Notation of the sources: N active parameters, D pre-training tokens, T inference tokens, E + A N^-alpha + B D^-beta the
loss in nats a token. A training FLOP is the unit of cost: work that runs less efficiently than pre-training is counted
with a penalty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.instance.law import LossLaw

PRETRAIN_FLOP_PER_PARAM_TOKEN = 6.0
"""Forward 2, backward 4 FLOP per active parameter and token."""
SERVE_FLOP_PER_PARAM_TOKEN = 2.0
"""One multiply-accumulate per active parameter and token; attention over the context is left out, as in the sources."""
RULE_TOKENS_PER_PARAM = 20.0
"""The rule of Hoffmann et al. 2022: compute-optimal training takes about 20 tokens a parameter."""


def excess_loss(law: LossLaw, params: float, tokens: float) -> float:
    """Loss above the law's floor, A N^-alpha + B D^-beta [nats a token]."""
    from_params: float = law.params_coefficient * params**-law.params_exponent
    from_tokens: float = law.tokens_coefficient * tokens**-law.tokens_exponent
    return from_params + from_tokens


def loss(law: LossLaw, params: float, tokens: float) -> float:
    """Loss E + A N^-alpha + B D^-beta [nats a token]. Source: Hoffmann et al. 2022, approach 3."""
    return law.irreducible_loss + excess_loss(law, params, tokens)


def tokens_for_loss(law: LossLaw, params: float, target_loss: float) -> float | None:
    """Fewest pre-training tokens with which ``params`` active parameters reach the loss; None if no number does.

    Inverts the law in D: (B / (L - E - A N^-alpha))^(1 / beta).
    """
    room = target_loss - law.irreducible_loss - law.params_coefficient * params**-law.params_exponent
    return _inverse_power(law.tokens_coefficient, room, law.tokens_exponent)


def params_for_loss(law: LossLaw, tokens: float, target_loss: float) -> float | None:
    """Fewest active parameters that reach the loss with ``tokens`` pre-training tokens; None if no number does."""
    room = target_loss - law.irreducible_loss - law.tokens_coefficient * tokens**-law.tokens_exponent
    return _inverse_power(law.params_coefficient, room, law.params_exponent)


def _inverse_power(coefficient: float, room: float, exponent: float) -> float | None:
    """Solve coefficient * x^-exponent = room; None where x would be infinite or beyond floating point."""
    if room <= 0:
        return None
    log_value = math.log(coefficient / room) / exponent
    return math.exp(log_value) if log_value < math.log(1e300) else None


def law_optimal_tokens(law: LossLaw, params: float) -> float:
    """Tokens with which ``params`` is the compute-optimal size: alpha A N^-alpha = beta B D^-beta.

    Source: first-order condition of Hoffmann et al. 2022, equation 4.
    """
    ratio = law.tokens_exponent * law.tokens_coefficient / (law.params_exponent * law.params_coefficient)
    return float((ratio * params**law.params_exponent) ** (1 / law.tokens_exponent))


def compute_optimal(law: LossLaw, budget_flop: float) -> tuple[float, float]:
    """Parameters and tokens of least loss with 6 N D = ``budget_flop``.

    N = G (C/6)^(beta/(alpha+beta)), D = C/(6N), G = (alpha A / (beta B))^(1/(alpha+beta)). Source: Hoffmann et al.
    2022, equation 4.
    """
    alpha, beta = law.params_exponent, law.tokens_exponent
    scale = (alpha * law.params_coefficient / (beta * law.tokens_coefficient)) ** (1 / (alpha + beta))
    product = budget_flop / PRETRAIN_FLOP_PER_PARAM_TOKEN
    params = scale * product ** (beta / (alpha + beta))
    return params, product / params


def compute_optimal_for_loss(law: LossLaw, target_loss: float) -> tuple[float, float] | None:
    """Parameters and tokens that reach the loss with the least 6 N D; None at or below the law's floor.

    At the optimum the parameter term is the share beta / (alpha + beta) of the excess loss.
    """
    alpha, beta = law.params_exponent, law.tokens_exponent
    room = target_loss - law.irreducible_loss
    params = _inverse_power(law.params_coefficient, room * beta / (alpha + beta), alpha)
    tokens = _inverse_power(law.tokens_coefficient, room * alpha / (alpha + beta), beta)
    return None if params is None or tokens is None else (params, tokens)


def rl_flop_per_param_token(decode_penalty: float) -> float:
    """Training FLOP per active parameter and RL token when every rollout is generated once and trained on once.

    6 to train on the token and 2 to generate it, and generation is decode, so it bears the decode penalty. Source:
    training planners dossier, section 2.6 (the range of 2 to 6 in the talk leaves generation out when all are used).
    """
    return PRETRAIN_FLOP_PER_PARAM_TOKEN + SERVE_FLOP_PER_PARAM_TOKEN * decode_penalty


def training_flop(params: float, tokens: float, rl_tokens: float = 0.0, rl_factor: float | None = None) -> float:
    """Pre-training and RL [FLOP]: 6 N D + kappa N D_rl, kappa = ``rl_factor`` (default 8, no decode penalty)."""
    factor = rl_flop_per_param_token(1.0) if rl_factor is None else rl_factor
    return params * (PRETRAIN_FLOP_PER_PARAM_TOKEN * tokens + factor * rl_tokens)


def serving_flop(params: float, inference_tokens: float, decode_penalty: float = 1.0) -> float:
    """Inference in training FLOP: 2 N T times the decode penalty (training MFU over decode MFU)."""
    return decode_penalty * SERVE_FLOP_PER_PARAM_TOKEN * params * inference_tokens


@dataclass(frozen=True)
class SpendRates:
    """What one active parameter costs over the model's life, in FLOP or dollars: N (per_token D + rl + serving).

    per_token: pre-training (and RL in proportion to it) per parameter and pre-training token; rl: a fixed number of RL
    tokens, per parameter; serving: all inference tokens, per parameter.
    """

    per_token: float
    rl: float = 0.0
    serving: float = 0.0

    @property
    def fixed(self) -> float:
        """Spend per parameter that does not depend on pre-training tokens."""
        return self.rl + self.serving

    def training(self, params: float, tokens: float) -> float:
        """Pre-training and RL spend."""
        return params * (self.per_token * tokens + self.rl)

    def total(self, params: float, tokens: float) -> float:
        """Pre-training, RL and serving spend."""
        return params * (self.per_token * tokens + self.fixed)

    def params_within(self, budget: float, tokens: float) -> float:
        """Most parameters that the budget pays for with this many pre-training tokens."""
        return budget / (self.per_token * tokens + self.fixed)

    def at_tokens_per_param(self, budget: float, ratio: float) -> tuple[float, float]:
        """Parameters and tokens that spend the budget at a fixed D / N: per_token ratio N^2 + fixed N = budget."""
        quadratic = self.per_token * ratio
        # The other root form avoids cancellation where serving outweighs training.
        params = 2 * budget / (self.fixed + math.sqrt(self.fixed**2 + 4 * quadratic * budget))
        return params, ratio * params


def equal_spend_tokens(rates: SpendRates) -> float | None:
    """Pre-training tokens at which training spend equals serving spend; None if RL alone already exceeds it."""
    tokens = (rates.serving - rates.rl) / rates.per_token
    return tokens if tokens > 0 else None


def overtraining_at(law: LossLaw, fixed_over_pretraining: float) -> float:
    """Optimal D over the law-optimal D of the same N: (1 + r)^(1/beta), r = spend not in D over spend in D.

    Source: training planners dossier, section 2.4; independent of N, T, A, B and alpha.
    """
    return float((1 + fixed_over_pretraining) ** (1 / law.tokens_exponent))


def product_form_regret(spends: Sequence[float]) -> float:
    """Extra total spend of these spends over the equal split of the same quality, quality = product of the spends.

    mean / geometric mean - 1. Source: training planners dossier, sections 2.1 and 2.3.
    """
    log_mean = math.fsum(math.log(spend) for spend in spends) / len(spends)
    return math.fsum(spends) / len(spends) / math.exp(log_mean) - 1


def equal_spend_regret(ratio: float) -> float:
    """Extra total spend when two spends that should be equal differ by ``ratio``: (1 + ratio) / (2 sqrt(ratio)) - 1."""
    return product_form_regret((ratio, 1.0))
