"""What a request costs by its length and by how fast it is served: the curves that a price menu must stay above.

With b = batch over balance batch, L* the crossover context and L_a the context at which attention costs as many FLOP
as the weights: an output token at context x costs r(x) = max(1, 1/b + x/L*) times the compute floor, an input token
1 + x/L_a times it (prefill reads weights and KV once for a chunk). Source: seed claims dossier, 2.2, C6, C18, C20.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.cache import SECONDS_PER_HOUR, hold_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.instance.memory_tiers import MemoryTier


@dataclass(frozen=True)
class RequestCosts:
    """Costs of one model on one machine; lengths may be numbers or arrays.

    Attributes
    ----------
    floor_usd
        USD of a token at the compute floor, 2 N_active / (F efficiency) times the price of a GPU-second.
    crossover_tokens
        L* [tokens].
    attention_tokens
        L_a [tokens]; infinite where attention's FLOP in prefill are left out.
    """

    floor_usd: float
    crossover_tokens: float
    attention_tokens: float = math.inf

    def input_usd(self, input_tokens: Any) -> Any:  # noqa: ANN401 - a number or an array
        """USD of reading a prompt: token x attends to x others, so their mean is half the length."""
        return self.floor_usd * input_tokens * (1.0 + input_tokens / (2.0 * self.attention_tokens))

    def output_usd(self, input_tokens: Any, output_tokens: Any, batch: float) -> Any:  # noqa: ANN401
        """USD of writing an answer after a prompt, r(x) summed over x from prompt to prompt and answer.

        Convex in either length while the other is fixed, as r rises: linear prices that cover the four corners of a
        range of lengths cover every request inside.
        """
        begin, end = np.asarray(input_tokens, dtype=float), np.add(input_tokens, output_tokens, dtype=float)
        kink = np.clip(self.kink_tokens(batch), begin, end)
        memory = (end - kink) / batch + (end**2 - kink**2) / (2.0 * self.crossover_tokens)
        return self.floor_usd * ((kink - begin) + memory)

    def kink_tokens(self, batch: float) -> float:
        """Context up to which an output token costs the floor: L* (1 - 1/b), 0 for a small batch."""
        return max(0.0, self.crossover_tokens * (1.0 - 1.0 / batch))

    def relative_cost(self, context_tokens: float, batch: float) -> float:
        """Cost of an output token over the floor, r."""
        return max(1.0, 1.0 / batch + context_tokens / self.crossover_tokens)

    def break_even_tokens(self, price_over_floor: float, batch: float) -> float:
        """Longest context at which an output token at this price is not sold below cost."""
        return max(0.0, self.crossover_tokens * (price_over_floor - 1.0 / batch)) if price_over_floor >= 1.0 else 0.0

    def least_base(self, threshold_tokens: float, longest_tokens: float, step: float, batch: float) -> float:
        """Least output price over the floor, multiplied by ``step`` above a threshold, that never loses (C18)."""
        above = self.relative_cost(longest_tokens, batch) / step
        return max(self.relative_cost(threshold_tokens, batch), above)


def step_time(batch: float, context_share: float) -> float:
    """Step time over one sweep of the weights, tau = max(b, 1 + lambda b)."""
    return max(batch, 1.0 + context_share * batch)


def batch_at_speed(batch: float, context_share: float, speed_ratio: float) -> float:
    """Largest batch whose step is ``speed_ratio`` times as short as that of ``batch``, on the same hardware.

    Raises
    ------
    ValueError
        If no batch is that fast: the weights must be read once, however few ride along.
    """
    wanted = step_time(batch, context_share) / speed_ratio
    if wanted <= 1.0:
        fastest = step_time(batch, context_share)
        raise ValueError(f"{speed_ratio:g} times the standard speed is not below the most there is, {fastest:.3g}")
    return min(wanted, (wanted - 1.0) / context_share) if context_share > 0.0 else wanted


def speed_bought(batch: float, context_share: float, price_ratio: float) -> float:
    """Most speed over standard that costs at most ``price_ratio`` times as much: r(b_fast) = c r(b).

    In the memory branch that is S - (S - 1)/c with S = 1 + lambda b (``fast_mode.speed_at_price``).
    """
    cost = price_ratio * max(1.0, 1.0 / batch + context_share)
    return step_time(batch, context_share) / step_time(min(batch, 1.0 / (cost - context_share)), context_share)


@dataclass(frozen=True)
class CachePlace:
    """The cheapest place to hold KV for a time: USD a token to write and hold it that long, and to read it once."""

    tier: str
    hold_usd: float
    read_usd: float


def cheapest_place(
    tiers: Sequence[MemoryTier], kv_bytes_per_token: float, hours: float, usd_per_gpu_hour: float
) -> CachePlace:
    """Return the tier with the least cost of writing, holding for ``hours`` and reading back once.

    A transfer takes the time of the device (`planner.costs.cache`) and of the GPU that waits for it, which for the
    first tier, the GPU's own HBM, is the same: an upper end, as engines hide a part of it.
    """
    places = []
    for tier in tiers:
        line = hold_line(tier)
        waiting = 0.0 if tier is tiers[0] else usd_per_gpu_hour / SECONDS_PER_HOUR / tier.reached_bytes_per_s
        move = kv_bytes_per_token * (line.retrieve_usd_per_byte + waiting)
        hold = kv_bytes_per_token * line.hold_usd_per_byte_s * hours * SECONDS_PER_HOUR
        places.append(CachePlace(tier.name, move + hold, move))
    return min(places, key=lambda place: place.hold_usd + place.read_usd)


@dataclass(frozen=True)
class PriceGrid:
    """Prices a seller may print: a ladder of equal ratios from the floor, or multiples of a coin [USD a token].

    Exactly one of ``ratio`` and ``coin_usd`` is given.
    """

    floor_usd: float
    ratio: float | None = None
    coin_usd: float | None = None

    def up(self, usd: float) -> float:
        """Least price of the grid that is not below ``usd``."""
        return self._price(self._rung(usd))

    def between(self, low: float, high: float) -> NDArray[np.float64]:
        """Prices from the first one not below ``low`` to the first one not below ``high``, USD a token [price]."""
        first, last = self._rung(low), self._rung(high)
        return np.array([self._price(rung) for rung in range(first, max(first, last) + 1)])

    def count(self, low: float, high: float) -> int:
        """How many prices ``between`` returns."""
        return max(0, self._rung(high) - self._rung(low)) + 1

    def _rung(self, usd: float) -> int:
        if self.coin_usd is not None:
            return max(1, math.ceil(usd / self.coin_usd - 1e-9))
        return math.ceil(math.log(usd / self.floor_usd) / math.log(self.ratio or math.e) - 1e-9)

    def _price(self, rung: int) -> float:
        return rung * self.coin_usd if self.coin_usd is not None else self.floor_usd * float(self.ratio or 1.0) ** rung
