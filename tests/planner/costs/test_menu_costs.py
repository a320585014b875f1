"""Cost curves of a price menu: claims C6, C7, C18 and a sum over tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from menu_cases import case_of, input_by_token, output_by_token

from planner.costs.menu import PriceGrid, RequestCosts, batch_at_speed, cheapest_place, speed_bought
from planner.instance.memory_tiers import MemoryTier
from planner.studies.menu_inputs import menu_inputs

LARGE = 1e12
TALK = RequestCosts(floor_usd=1.0, crossover_tokens=200_000.0)


def test_a_step_of_half_breaks_even_up_to_300k() -> None:
    """C18: kink at 200k, base at the floor: +50 % pays up to 300k; cost at 300k is 1.5, at 1M five times the floor."""
    assert TALK.kink_tokens(LARGE) == pytest.approx(200e3)
    assert TALK.relative_cost(300e3, LARGE) == pytest.approx(1.5)
    assert TALK.relative_cost(1e6, LARGE) == pytest.approx(5.0)
    assert TALK.break_even_tokens(1.5, LARGE) == pytest.approx(300e3)
    assert TALK.break_even_tokens(0.9, LARGE) == 0.0


def test_a_base_that_never_loses() -> None:
    """C18: with the step of +50 % the base must be 3.33 floors to lose nothing up to 1M; five without a step."""
    assert TALK.least_base(200e3, 1e6, 1.5, LARGE) == pytest.approx(10 / 3, abs=1e-3)
    assert TALK.least_base(200e3, 1e6, 1.0, LARGE) == pytest.approx(5.0)
    assert TALK.least_base(200e3, 1e6, 9.0, LARGE) == pytest.approx(1.0)


def test_mean_cost_of_long_answers() -> None:
    """C18: the mean over 200k..1M is 3.0 floors."""
    assert TALK.output_usd(200e3, 800e3, LARGE) / 800e3 == pytest.approx(3.0)


@pytest.mark.parametrize(("price", "speed"), [(2, 1.9), (3, 2.2), (6, 2.5), (15, 2.68), (100, 2.78)])
@pytest.mark.parametrize("share", [0.643, 0.9, 3.0])
def test_five_points_of_the_fast_menu(price: float, speed: float, share: float) -> None:
    """C6: with lambda b = 1.8 and memory binding, c times the price buys s(c) within 0.01, whatever lambda."""
    standard = 1.8 / share
    assert speed_bought(standard, share, price) == pytest.approx(speed, abs=0.01)
    fast = batch_at_speed(standard, share, speed_bought(standard, share, price))
    ratio = max(1, 1 / fast + share) / max(1, 1 / standard + share)
    assert ratio == pytest.approx(price, rel=1e-3)


def test_speed_is_free_until_the_balance_batch() -> None:
    """C7: without KV reading a batch of 2.5 gives up to 2.5 times the speed at the standard price, and no more."""
    assert batch_at_speed(2.5, 0.0, 2.4999) == pytest.approx(1.0, abs=1e-3)
    assert speed_bought(2.5, 0.0, 1.0) == pytest.approx(2.5)
    assert speed_bought(2.5, 0.0, 100.0) == pytest.approx(2.5)
    with pytest.raises(ValueError, match=r"most there is, 2\.5"):
        batch_at_speed(2.5, 0.0, 2.5)


@pytest.mark.parametrize("batch", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("prompt", [1, 90_000, 110_000, 350_000, 900_000])
def test_curves_are_sums_over_tokens(prompt: int, batch: float) -> None:
    """Prompt and answer cost what their tokens cost one by one in seconds of GPU, on either side of the kink."""
    case = case_of()
    costs = menu_inputs(case, seek_margin=False).tabulator.costs
    assert costs.input_usd(prompt) == pytest.approx(input_by_token(case, prompt), rel=1e-9)
    assert float(costs.output_usd(prompt, 50, batch)) == pytest.approx(
        output_by_token(case, prompt, 50, batch), rel=1e-6
    )


@pytest.mark.parametrize("fixed", [0, 1])
def test_costs_are_convex_in_either_length(fixed: int) -> None:
    """Between two requests that differ in one length costs are below the chord: prices that cover corners cover all."""
    draw = np.random.default_rng(1)
    one, two = draw.uniform(1, 1e6, (2, 500)), draw.uniform(1, 1e6, (2, 500))
    two[fixed] = one[fixed]
    costs = RequestCosts(1.0, 2e5, 3e5)

    def whole(lengths: np.ndarray) -> np.ndarray:
        return np.asarray(costs.input_usd(lengths[0]) + costs.output_usd(lengths[0], lengths[1], 2.0))

    assert (whole((one + two) / 2) <= (whole(one) + whole(two)) / 2 * (1 + 1e-12)).all()


def test_grids() -> None:
    """A ladder passes through the floor; a coin divides every price; each rounds up and never down."""
    ladder, coins = PriceGrid(2.0, ratio=1.5), PriceGrid(2.0, coin_usd=0.25)
    assert ladder.between(2.0, 4.4) == pytest.approx([2.0, 3.0, 4.5])
    assert ladder.up(0.9) == pytest.approx(2 / 1.5)
    assert coins.between(0.3, 0.9) == pytest.approx([0.5, 0.75, 1.0])
    assert coins.up(0.001) == 0.25
    assert coins.count(0.3, 0.9) == 3


def test_the_cheapest_place_changes_with_the_time_held() -> None:
    """HBM for a moment, a slow cheap device for long; holding and moving are priced in closed form."""
    tiers = tuple(
        MemoryTier(name=name, title=name, capacity_bytes=1e12, bytes_per_s=speed, usd_per_hour=usd, source="test")
        for name, speed, usd in (("fast", 1e12, 1.0), ("slow", 1e9, 0.001))
    )
    moment, long = (cheapest_place(tiers, 1e5, hours, 3.6) for hours in (1e-6, 10.0))
    assert (moment.tier, long.tier) == ("fast", "slow")
    assert moment.read_usd == pytest.approx(1e5 / 1e12 * 1.0 / 3600)
    assert long.read_usd == pytest.approx(1e5 / 1e9 * (3.6 + 0.001) / 3600)
    assert long.hold_usd == pytest.approx(long.read_usd + 1e5 * 0.001 / 1e12 * 10)
    assert math.isfinite(moment.hold_usd)
