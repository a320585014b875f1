from __future__ import annotations

import numpy as np
import pytest
from enumeration import best_balance

from planner.errors import FormulationError, InstanceError, NoPlanFound
from planner.strategies import STRATEGIES
from planner.strategies.api import place, rebalance_experts
from planner.strategies.problem import PlacementRequest
from planner.strategies.result import gpu_load

LOAD = np.random.default_rng(4).lognormal(0.0, 0.8, (3, 8))


def test_rebalance_experts_answers_in_eplb_form() -> None:
    """Shapes and mutual agreement of the three arrays on a 3 x 8 table, 12 slots on 4 GPUs."""
    phy2log, log2phy, logcnt = rebalance_experts(LOAD, 12, 4, 2, 4)
    assert phy2log.shape == (3, 12)
    assert logcnt.sum(axis=1).tolist() == [12, 12, 12]
    assert log2phy.shape == (3, 8, logcnt.max())
    for layer in range(3):
        for expert in range(8):
            slots = [slot for slot in log2phy[layer, expert] if slot >= 0]
            assert len(slots) == logcnt[layer, expert]
            assert sorted(slots) == np.flatnonzero(phy2log[layer] == expert).tolist()


def test_rebalance_experts_is_no_worse_than_eplb() -> None:
    """Largest GPU load of every layer at most EPLB's global policy's."""
    phy2log, _, _ = rebalance_experts(LOAD, 12, 1, 1, 4)
    eplb = STRATEGIES["eplb"].place(PlacementRequest(LOAD[None], 4, 3)).physical_to_logical_map
    own, published = (gpu_load(placed, LOAD, 4).max(axis=2)[0] for placed in (phy2log, eplb))
    assert (own <= published * (1 + 1e-9)).all()


def test_rebalance_experts_refuses_slots_that_do_not_spread() -> None:
    """13 slots on 4 GPUs: 8 experts + 5 redundant; nearest valid: 12 or 16 slots."""
    with pytest.raises(InstanceError, match="nearest valid: 12 or 16"):
        rebalance_experts(LOAD, 13, 1, 1, 4)


def test_the_default_is_the_fewest_slots() -> None:
    """8 experts on 3 GPUs: 3 slots each."""
    assert place(LOAD, 3).physical_to_logical_map.shape == (3, 9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gpus": 4, "slots_per_gpu": 1}, NoPlanFound, "4 expert slots on 4 GPUs in service are fewer than 8 experts"),
        ({"gpus": 4, "slots_per_gpu": 3, "redundant": 4}, InstanceError, "give one of the two"),
        ({"gpus": 4, "strategy": "magic"}, InstanceError, "no strategy 'magic'"),
        ({"gpus": 4, "speed": np.zeros(4)}, InstanceError, "4 positive numbers"),
        ({"gpus": 4, "dispatch": "far"}, InstanceError, "must be even or nearest"),
        ({"gpus": 4, "strategy": "domain"}, FormulationError, "only one node"),
    ],
)
def test_bad_requests_say_what_is_wrong(options: dict[str, object], error: type[Exception], message: str) -> None:
    """Each refusal names its reason."""
    with pytest.raises(error, match=message):
        place(LOAD, **options)  # type: ignore[arg-type]


def test_all_problems_come_at_once() -> None:
    """Two wrong fields give two problems."""
    with pytest.raises(InstanceError) as caught:
        PlacementRequest(LOAD[None], 0, 2, router_groups=0)
    assert {problem.key for problem in caught.value.problems} == {"gpus", "router_groups"}


def test_exact_reaches_the_optimum_of_all_fillings() -> None:
    """Five experts on three GPUs x 2, by enumeration: 19 / 3 / 7, with the load of 7 alone on a GPU.

    The sixth slot then holds a second copy of the same expert. The search keeps copies on distinct GPUs and reaches the
    best of those fillings, 19 / 3 / 7.5.
    """
    load = np.array([[7.0, 5.0, 4.0, 2.0, 1.0]])
    assert best_balance(load[0], 3, 2) == pytest.approx(19 / 21)
    assert place(load, 3, 2, strategy="exact").balance[0] == pytest.approx(19 / 21)
    assert best_balance(load[0], 3, 2, distinct=True) == pytest.approx(19 / 22.5)
    assert place(load, 3, 2).balance[0] == pytest.approx(19 / 22.5)


def test_exact_proves_its_optimum() -> None:
    """The bound of the program meets the balance."""
    result = place(np.array([[7.0, 5.0, 4.0, 2.0, 1.0], [0, 0, 0, 0, 0]]), 3, 2, strategy="exact")
    assert result.bound[0] == pytest.approx(result.balance[0], rel=1e-3)
    assert np.isnan(result.balance[1])


def test_domain_places_by_node() -> None:
    """Two nodes of two GPUs: every expert placed, all slots filled, the balance between EPLB's worst and the bound."""
    for dispatch in ("even", "nearest"):
        result = place(LOAD[:1, :6], 4, 2, strategy="domain", gpus_per_node=2, dispatch=dispatch)
        assert set(result.physical_to_logical_map[0].tolist()) == set(range(6))
        assert 0.5 < result.balance[0] <= result.bound[0] * (1 + 1e-9)


def test_programs_refuse_what_is_too_large() -> None:
    """256 experts on 32 GPUs is for the search."""
    request = PlacementRequest(np.ones((1, 1, 256)), 32, 9, gpus_per_node=8)
    assert "more than" in str(STRATEGIES["exact"].supports(request))
    assert "more than" in str(STRATEGIES["domain"].supports(request))


def test_proving_only_lowers_the_bound() -> None:
    """The tight bound is at most the fast one and at least the balance, and it does lower this one."""
    load = np.array([[3.0, 3.0, 3.0, 1.0]])
    fast, tight = place(load, 2, 2), place(load, 2, 2, prove=True)
    assert fast.bound[0] == pytest.approx(1.0)
    assert tight.bound[0] == pytest.approx(5 / 6, rel=1e-3)
    assert tight.balance[0] <= tight.bound[0] * (1 + 1e-9)


def test_out_of_time_names_the_layer_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that had no time for a placement: a time limit, not limits in conflict, the layer and a remedy."""

    def no_time(problem: object, options: object) -> None:
        raise NoPlanFound(["no placement found in time"], "time_limit")

    monkeypatch.setattr("formulations.placement_domain.place_by_domain", no_time)
    load = np.random.default_rng(3).lognormal(0.0, 0.8, (2, 40))
    with pytest.raises(NoPlanFound, match=r"layer 0, after 0 of 2: .* or take local_search") as caught:
        place(load, 12, 4, strategy="domain", gpus_per_node=6, time_limit_s=0.0)
    assert caught.value.stop_reason == "time_limit"


def test_slots_of_dead_gpus_do_not_count_in_the_remedy() -> None:
    """8 experts, one GPU of four alive with 3 slots: 8 slots on it would do."""
    with pytest.raises(NoPlanFound, match=r"3 expert slots on 1 GPUs in service .* at least 8 slots"):
        place(LOAD, 4, np.array([0, 3, 0, 0]))
