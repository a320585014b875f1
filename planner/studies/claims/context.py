"""C35 and C36: what context and sparsity cost and are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.costs.effective_params import effective_params
from planner.instance.effective_params import load_effective_params_rule
from planner.studies.claims.batch import HARDWARE, MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import form_of

_BISECTIONS = 100


def _context_wall(values: Values) -> Finding:
    """MFU in a large batch at a context of ``lambda`` kinks, with all of the context read and with its square root."""
    share, kink = values.number("lambda"), values.number("kink_tokens")
    start = values.number("sparse_from_tokens")
    sparse_kink = _kink(kink, start)
    return Finding(
        computed=_utilisation(share),
        figures=(
            Figure("MFU at lambda = 1", _utilisation(1.0)),
            Figure("kink with sqrt reading", sparse_kink, "tokens"),
            Figure("closed form L*^2 / L0", kink**2 / start, "tokens"),
            Figure("kink of the model on this hardware", form_of(values).crossover_context, "tokens"),
        ),
        otherwise=(Figure("MFU with sqrt reading", _utilisation(_sqrt_read(share * sparse_kink, start) / kink)),),
    )


def _utilisation(crossover_share: float) -> float:
    """Arithmetic done over peak in an infinitely large batch: 1 / max(1, lambda)."""
    return 1.0 / max(1.0, crossover_share)


def _sqrt_read(context: float, start: float) -> float:
    """Context tokens that sparse attention reads: all up to ``start``, then the square root, joined there."""
    return min(context, math.sqrt(context * start))


def _kink(kink: float, start: float) -> float:
    """Context at which what is read reaches the dense kink, by bisection on the logarithm."""
    low, high = 0.0, 2.0 * math.log(kink) - math.log(start) + 10.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _sqrt_read(math.exp(middle), start) < kink else (low, middle)
    return math.exp(high)


@dataclass(frozen=True)
class RoutedLaw:
    """Loss of routed networks, log L = a log N + b log E^ + c log N log E^ + d (base 10). Clark et al. 2022."""

    params: float
    experts: float
    both: float
    least_experts: float
    most_experts: float

    def dense_equivalent(self, active_params: float, experts: float) -> float:
        """Parameters of the dense network of the same loss."""
        routed, dense = (math.log10(self._saturated(count)) for count in (experts, 1.0))
        size = math.log10(active_params)
        level = self.params * size + self.experts * routed + self.both * size * routed
        return float(10 ** ((level - self.experts * dense) / (self.params + self.both * dense)))

    def _saturated(self, experts: float) -> float:
        """E^: experts that count, between the first and a level that more do not pass."""
        first = 1.0 / (1.0 / self.least_experts - 1.0 / self.most_experts)
        return 1.0 / (1.0 / (experts - 1.0 + first) + 1.0 / self.most_experts)


S_BASE = RoutedLaw(params=-0.082, experts=-0.108, both=0.009, least_experts=1.847, most_experts=314.478)
"""Clark et al. 2022 (arXiv 2202.01169), S-BASE; fitted at one number of tokens."""


def _worth_of_sparsity(values: Values) -> Finding:
    """Dense equivalent of a routed model by the routed law, and by the library's rule of effective parameters."""
    active, experts, dense = (values.number(name) for name in ("active_params", "experts", "dense_params"))
    by_law = S_BASE.dense_equivalent(active, experts)
    rule = load_effective_params_rule(values.text("rule"))
    return Finding(
        computed=by_law,
        figures=(
            Figure("exponent that the pair implies", math.log(dense / active) / math.log(experts)),
            Figure("exponent of the routed law here", math.log(by_law / active) / math.log(experts)),
            Figure("dense over active parameters", dense / active),
            Figure("dense equivalent by the library's rule", effective_params(rule, active, experts), "parameters"),
            Figure("balance batch grows by", experts),
        ),
    )


CLAIMS = (
    Claim(
        id="C35",
        topic="context",
        statement="Context stalled at 100k to 200k because of bandwidth: past the kink, twice the context halves MFU.",
        equation="MFU = 1 / max(1, lambda), b large; reading sqrt(L L0) moves the kink from L* to L*^2 / L0",
        quantity="MFU at a context of lambda kinks, in a large batch",
        unit="",
        printed=0.5,
        inputs=(
            Input("lambda", 2.0, "", "context over the kink"),
            Input("kink_tokens", 200e3, "tokens", "kink with all of the context read, as the claim has it"),
            Input("sparse_from_tokens", 50e3, "tokens", "context L0 from which sparse attention reads a square root"),
            MODEL,
            HARDWARE,
        ),
        compute=_context_wall,
        acceptance=(
            Acceptance("MFU at lambda = 1", 1.0, relative=1e-12),
            Acceptance("kink with sqrt reading", 200e3**2 / 50e3, relative=1e-9),
            Acceptance("closed form L*^2 / L0", 800e3, relative=1e-12),
            Acceptance("MFU with sqrt reading", 1.0 / math.sqrt(2.0), relative=1e-9),
        ),
        why="True where every token of the context is read each step. Sparse attention moves the kink and softens the "
        "slope past it, and models now sell 1 M tokens at a flat price.",
    ),
    Claim(
        id="C36",
        topic="context",
        statement="64 experts at 370 M active parameters match a dense model of 1.3 B.",
        equation="effective N = N_act sigma^0.30",
        quantity="dense equivalent by the routed law of Clark et al. 2022",
        unit="parameters",
        printed=1.3e9,
        inputs=(
            Input("active_params", 370e6, "parameters", "of the routed model"),
            Input("experts", 64.0, "experts", "one of which is active"),
            Input("dense_params", 1.3e9, "parameters", "of the dense model named"),
            Input("rule", "experts_over_top_k", "", "effective-parameter rule of the library"),
        ),
        compute=_worth_of_sparsity,
        acceptance=(
            Acceptance("exponent that the pair implies", 0.302, absolute=0.005),
            Acceptance("exponent of the routed law here", 0.314, absolute=0.005),
            Acceptance("dense over active parameters", 3.51, relative=0.01),
        ),
        why="The routed law puts the match at 1.37 B. It takes 64 times the experts for 3.5 times the quality in "
        "parameters; in memory time that is free once the batch grows as much, until users or capacity run out.",
    ),
)
