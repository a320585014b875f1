"""Waiting and staffing against seeded simulations."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs.queueing import highest_utilisation, staffed_sequences, waiting_percentile_s

Array = np.ndarray[Any, Any]


def lindley(gaps: Array, services: Array) -> Array:
    """Compute waits of a single server by Lindley's recursion W' = max(0, W + S - A), in closed form."""
    walk = np.concatenate([[0.0], np.cumsum(services - gaps)[:-1]])
    return np.asarray(walk - np.minimum.accumulate(walk))


@functools.cache
def simulated_waits(utilisation: float) -> Array:
    """Simulate waits of 400,000 prompts that each take one second."""
    draw = np.random.default_rng(11)
    return lindley(draw.exponential(1 / utilisation, 400_000), np.ones(400_000))


@pytest.mark.parametrize("utilisation", [0.1, 0.3, 0.5, 0.7, 0.85])
def test_mean_wait_of_the_queue(utilisation: float) -> None:
    """The mean behind the tail is the exact u s / (2 (1-u)) of M/D/1, which the simulation meets to 3 %."""
    mean = utilisation / (2 * (1 - utilisation))
    assert simulated_waits(utilisation).mean() == pytest.approx(mean, rel=3e-2)


@pytest.mark.parametrize("percentile", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("utilisation", [0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 0.9])
def test_waiting_percentile_is_on_the_safe_side(utilisation: float, percentile: float) -> None:
    """The formula is not below the simulated percentile by more than noise, nor above by half a service and 25 %."""
    simulated = float(np.quantile(simulated_waits(utilisation), percentile))
    found = float(waiting_percentile_s(utilisation, 1.0, percentile))
    assert 0.97 * simulated - 0.01 <= found <= 1.25 * simulated + 0.5


def test_wait_below_one_service_is_exact() -> None:
    """Erlang: P(W <= t) = (1-u) exp(u t) below one service; the 95th percentile at 10 % load is 0.54 services."""
    assert waiting_percentile_s(0.1, 1.0, 0.95) == pytest.approx(0.5407, abs=1e-4)
    assert waiting_percentile_s(0.1, 1.0, 0.95) == pytest.approx(np.quantile(simulated_waits(0.1), 0.95), abs=0.02)


def test_no_wait_where_most_find_the_server_idle() -> None:
    """At 4 % load 96 % do not wait, so the 95th percentile is 0."""
    assert waiting_percentile_s(0.04, 1.0, 0.95) == 0.0


@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_longest_prompt_is_safe_for_a_mix(utilisation: float) -> None:
    """Prompts of 0.2 and 1 s wait less than the queue in which all take 1 s, at the same utilisation."""
    draw = np.random.default_rng(5)
    services = draw.choice([0.2, 1.0], 300_000)
    waits = lindley(draw.exponential(services.mean() / utilisation, 300_000), services)
    assert np.quantile(waits, 0.95) <= waiting_percentile_s(utilisation, 1.0, 0.95)


@pytest.mark.parametrize("prompts", [2, 8])
@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.9])
def test_lockstep_ranks_wait_at_most_one_batch_more(prompts: int, utilisation: float) -> None:
    """A rank that serves up to b prompts in batches of fixed length D waits no longer than s = D / b says, plus D."""
    draw = np.random.default_rng(7)
    arrivals = np.cumsum(draw.exponential(1 / (utilisation * prompts), 100_000))
    waits, first, now = np.empty(len(arrivals)), 0, 0.0
    while first < len(arrivals):
        now = max(now, arrivals[first])
        last = min(int(np.searchsorted(arrivals, now, side="right")), first + prompts)
        waits[first:last] = now - arrivals[first:last]
        first, now = last, now + 1.0
    assert np.quantile(waits, 0.95) <= waiting_percentile_s(utilisation, 1.0 / prompts, 0.95) + 1.0


@given(
    budget=st.floats(0, 100),
    service=st.floats(1e-3, 10),
    percentile=st.floats(0.5, 0.999),
    ceiling=st.floats(0.1, 0.99),
)
def test_highest_utilisation_inverts_the_wait(budget: float, service: float, percentile: float, ceiling: float) -> None:
    """The wait at the answer is within the budget; just above it it is not, unless the ceiling binds."""
    found = float(highest_utilisation(budget, service, percentile, ceiling))
    assert 0 <= found <= ceiling
    assert waiting_percentile_s(found, service, percentile) <= budget
    if found < ceiling:
        assert waiting_percentile_s(min(found + 1e-9, 1 - 1e-12), service, percentile) >= budget


def test_no_utilisation_without_a_budget() -> None:
    """A prompt that is late before it waits may not come at all; without a limit the ceiling counts."""
    found = highest_utilisation([-1e-9, 0.0, np.inf], 1.0, 0.95, 0.9)
    assert found == pytest.approx([0.0, 0.05, 0.9])


@given(low=st.floats(0, 0.99), high=st.floats(0, 0.99), percentile=st.floats(0.5, 0.999))
def test_wait_grows_with_load(low: float, high: float, percentile: float) -> None:
    """More load never waits less."""
    low, high = min(low, high), max(low, high)
    assert waiting_percentile_s(low, 1.0, percentile) <= waiting_percentile_s(high, 1.0, percentile) + 1e-12


@pytest.mark.parametrize("percentile", [0.9, 0.95])
@pytest.mark.parametrize("places", [20, 200])
def test_staffing_against_a_simulated_unlimited_server(places: int, percentile: float) -> None:
    """Requests that stay 10 s on average fit their places in the asked share of moments, to 1.5 %."""
    draw = np.random.default_rng(2)
    mean = float(staffed_sequences(places, percentile))
    count = int(400 * mean)
    starts = np.sort(draw.uniform(0, 4000.0, count))
    ends = np.sort(starts + draw.gamma(2.0, 5.0, count))
    moments = draw.uniform(200.0, 4000.0, 40_000)
    occupied = np.searchsorted(starts, moments) - np.searchsorted(ends, moments)
    assert np.mean(occupied <= places) == pytest.approx(percentile, abs=1.5e-2)


@given(places=st.integers(1, 10**6), percentile=st.floats(0.01, 0.999))
def test_staffing_solves_its_rule(places: int, percentile: float) -> None:
    """The mean lies between 0 and the places, grows with them, and falls as the percentile grows."""
    mean = float(staffed_sequences(places, percentile))
    assert 0 < mean <= places * (1 + 1e-9)
    assert float(staffed_sequences(places + 1, percentile)) > mean
    assert float(staffed_sequences(places, min(0.9995, percentile + 0.05))) <= mean * (1 + 1e-12)


def test_staffing_by_hand() -> None:
    """At the 97.7th percentile (two standard deviations) 120 places carry 100 sequences: 100 + 2 x 10."""
    assert staffed_sequences(120, 0.97724986805) == pytest.approx(100.0, rel=1e-6)
