"""Crossing shares: invariance under placement (T7), closed forms, and Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from planner.errors import InstanceError
from planner.topology.crossing import (
    assignment_crossing_share,
    copies_per_domain,
    distinct_remote_destinations,
    routed_crossing,
    token_crossing_share,
)


@st.composite
def single_copy_placements(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Any assignment of up to 40 experts to up to 18 domains, with any loads."""
    experts, domains = draw(st.integers(1, 40)), draw(st.integers(1, 18))
    place = draw(arrays.arrays(np.int64, experts, elements=st.integers(0, domains - 1)))
    load = draw(arrays.arrays(np.float64, experts, elements=st.floats(0, 1e9, allow_subnormal=False)))
    load[draw(st.integers(0, experts - 1))] += 1.0
    return np.eye(domains, dtype=np.int64)[place], load


@settings(deadline=None)
@given(single_copy_placements(), st.sampled_from(["even", "nearest"]))
def test_placement_cannot_change_the_crossing_share(case: tuple[np.ndarray, np.ndarray], dispatch: str) -> None:
    """T7: one copy, uniform sources, no de-duplication gives (R - 1) / R for any placement and any load."""
    copies, load = case
    domains = copies.shape[1]
    assert assignment_crossing_share(copies, load, dispatch=dispatch) == pytest.approx((domains - 1) / domains)


@pytest.mark.parametrize(("racks", "share"), [(2, 0.5), (3, 0.667), (4, 0.75), (8, 0.875), (18, 0.944)])
def test_printed_assignment_shares(racks: int, share: float) -> None:
    """The dossier's row for R = 2, 3, 4, 8, 18 (C13)."""
    copies = np.eye(racks, dtype=np.int64)[np.arange(72) % racks]
    assert assignment_crossing_share(copies, np.ones(72)) == pytest.approx(share, abs=5e-4)


def test_a_second_copy_with_nearest_dispatch_cuts_the_share() -> None:
    """Two copies in two of four domains: nearest keeps half of the tokens at home, even dispatch a quarter.

    Both copies in one domain help neither: (R - 1) / R again.
    """
    apart, together = np.tile([1, 0, 1, 0], (6, 1)), np.tile([0, 2, 0, 0], (6, 1))
    load = np.arange(1.0, 7.0)
    assert assignment_crossing_share(apart, load, dispatch="nearest") == pytest.approx(0.5)
    assert assignment_crossing_share(apart, load, dispatch="even") == pytest.approx(0.75)
    assert assignment_crossing_share(together, load, dispatch="nearest") == pytest.approx(0.75)


def test_one_copy_in_each_of_two_racks_stays_home_with_nearest() -> None:
    """Every expert in both racks: nothing crosses under nearest, half under even dispatch."""
    copies = np.ones((8, 2), dtype=np.int64)
    assert assignment_crossing_share(copies, np.ones(8), dispatch="nearest") == 0.0
    assert assignment_crossing_share(copies, np.ones(8), dispatch="even") == pytest.approx(0.5)


def test_unequal_sources_make_placement_matter() -> None:
    """Domain shares 3:1, all experts in the large domain: a quarter crosses; in the small one three quarters."""
    share = np.array([3.0, 1.0])
    large, small = np.tile([1, 0], (4, 1)), np.tile([0, 1], (4, 1))
    assert assignment_crossing_share(large, np.ones(4), share) == pytest.approx(0.25)
    assert assignment_crossing_share(small, np.ones(4), share) == pytest.approx(0.75)


def test_copies_are_counted_from_a_map_row() -> None:
    """Six slots on two domains, one empty: expert 0 twice in domain 0 and once in domain 1."""
    counted = copies_per_domain(np.array([0, 0, 1, 0, 2, -1]), np.array([0, 0, 0, 1, 1, 1]), 3, 2)
    assert counted.tolist() == [[2, 1], [1, 0], [0, 1]]


def test_bad_placements_are_reported_together() -> None:
    """A NaN load, a negative share and a loaded expert without a copy make three problems; shapes are checked first."""
    with pytest.raises(InstanceError) as caught:
        assignment_crossing_share(np.array([[0, 0], [1, 0]]), np.array([1.0, np.nan]), np.array([1.0, -1.0]))
    assert [problem.key for problem in caught.value.problems] == ["expert_load", "source_share", "expert 0"]
    with pytest.raises(InstanceError, match="shapes do not agree"):
        assignment_crossing_share(np.ones((3, 2), dtype=np.int64), np.ones(4))


@pytest.mark.parametrize(("top_k", "share"), [(8, 0.9965), (2, 0.75098), (1, 0.5)])
def test_tokens_that_cross_two_racks(top_k: int, share: float) -> None:
    """1 - C(128, k) / C(256, k), the dossier's correction of "half of the tokens" (C13)."""
    exact = 1 - math.comb(128, top_k) / math.comb(256, top_k)
    assert token_crossing_share(256, top_k, 2) == pytest.approx(exact, rel=1e-12)
    assert exact == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize(("units", "sends"), [(2, 0.9965), (4, 2.711), (8, 4.633)])
def test_deduplicated_sends_of_top_8_of_256(units: int, sends: float) -> None:
    """(R - 1)(1 - C(E - E/R, 8) / C(E, 8)) against binomials and the dossier's figures (C13)."""
    exact = (units - 1) * (1 - math.comb(256 - 256 // units, 8) / math.comb(256, 8))
    assert distinct_remote_destinations(256, 8, units) == pytest.approx(exact, rel=1e-12)
    assert exact == pytest.approx(sends, abs=5e-4)


@pytest.mark.parametrize("units", [2, 4, 8])
def test_monte_carlo_agrees(units: int) -> None:
    """40,000 tokens drawing 8 of 256 experts at random: all three numbers within 1 % of the closed forms."""
    rng = np.random.default_rng(20240613 + units)
    routing = rng.random((40_000, 256)).argpartition(8, axis=1)[:, :8]
    measured = routed_crossing(routing, rng.permutation(256) % units, rng.integers(0, units, 40_000), units)
    assert measured.assignment_share == pytest.approx((units - 1) / units, rel=0.01)
    assert measured.token_share == pytest.approx(token_crossing_share(256, 8, units), rel=0.01)
    assert measured.sends_per_token == pytest.approx(distinct_remote_destinations(256, 8, units), rel=0.01)


def test_routed_crossing_by_hand() -> None:
    """Two tokens: one sends two assignments to the same other domain, one stays at home."""
    measured = routed_crossing(np.array([[0, 1, 2], [3, 3, 2]]), np.array([1, 1, 0, 0]), np.array([0, 0]), 3)
    assert measured.assignment_share == pytest.approx(2 / 6)
    assert measured.token_share == 0.5
    assert measured.sends_per_token == 0.5


def test_destinations_take_arrays_and_uneven_units() -> None:
    """An array gives an array; 0 for one unit; rising in units, never above what leaves or the other units."""
    units = np.arange(1.0, 577.0).reshape(24, 24)
    sends = distinct_remote_destinations(256, 8, units)
    assert sends.shape == (24, 24)
    assert sends[0, 0] == 0.0
    assert (sends <= np.minimum(8 * (units - 1) / units, units - 1) + 1e-12).all()
    assert (np.diff(sends.ravel()) > 0).all()
    assert sends[0, 2] == distinct_remote_destinations(256, 8, 3)


def test_units_above_the_experts() -> None:
    """One expert in 256 of 512 units, none in the others: each of a token's 8 experts is elsewhere 511 times in 512."""
    assert distinct_remote_destinations(256, 8, 512) == pytest.approx(8 * 511 / 512, rel=1e-12)
    assert distinct_remote_destinations(256, 8, 256) == pytest.approx(8 * 255 / 256, rel=1e-12)


def test_a_token_that_wants_every_expert_goes_everywhere() -> None:
    """With k = E, every other unit is reached, through a factor that is held at zero."""
    assert distinct_remote_destinations(16, 16, 4) == 3.0


def test_bad_counts_are_reported_together() -> None:
    """More experts per token than experts, and no unit."""
    with pytest.raises(InstanceError) as caught:
        distinct_remote_destinations(8, 9, np.array([0.0, 2.0]))
    assert len(caught.value.problems) == 2
