"""Each block alone: a point that keeps its sentence is accepted, one that breaks it is rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
import pytest

from formulations.blocks import copies, load
from formulations.packing_inside import pack_domains
from formulations.placement_problem import PlacementProblem

if TYPE_CHECKING:
    from collections.abc import Callable

# two experts, two GPUs of two slots and one of one slot; the first two GPUs form domain 0
PROBLEM = PlacementProblem(
    load=np.array([[60.0, 30.0]]),
    probability=np.array([1.0]),
    slots=np.array([2, 2, 1]),
    speed=np.array([1.0, 2.0, 1.0]),
    domain=np.array([0, 0, 1]),
)
UNIT = 90 / 4


def model_with(*blocks: Callable[[Any, PlacementProblem], None]) -> pyo.ConcreteModel:
    """Return a model with these blocks, every variable at 0."""
    model = pyo.ConcreteModel()
    for block in blocks:
        block(model, PROBLEM)
    for variable in model.component_data_objects(pyo.Var):
        variable.set_value(0)
    return model


def broken(model: pyo.ConcreteModel) -> set[str]:
    """Return the names of constraints that the current values break."""
    rows = model.component_data_objects(pyo.Constraint, active=True)
    return {row.parent_component().name for row in rows if row.lslack() < -1e-9 or row.uslack() < -1e-9}


def choose(model: pyo.ConcreteModel, held: dict[int, list[int]]) -> None:
    """Set count and held to experts on GPUs."""
    for expert, gpus in held.items():
        model.count[expert, len(gpus)].set_value(1)
        for gpu in gpus:
            model.held[expert, len(gpus), gpu].set_value(1)


EXACT = (copies.add_copy_counts, copies.add_copies_on_gpus, copies.add_slots_on_gpus)


def test_copies_on_gpus_accepts_a_placement() -> None:
    """Expert 0 on all GPUs, expert 1 on one: every row holds."""
    model = model_with(*EXACT)
    choose(model, {0: [0, 1, 2], 1: [1]})
    assert broken(model) == set()


def test_an_expert_without_copy_is_rejected() -> None:
    """An expert with no number of copies breaks its one-count row, and nothing else."""
    model = model_with(*EXACT)
    choose(model, {0: [0]})
    assert broken(model) == {"one_count"}


def test_copies_must_match_the_count() -> None:
    """Two copies announced and one held is rejected; so is a copy under another count."""
    model = model_with(*EXACT)
    choose(model, {0: [0, 1], 1: [1]})
    model.held[0, 2, 0].set_value(0)
    assert broken(model) == {"every_copy_held"}
    model.held[0, 3, 0].set_value(1)
    assert broken(model) == {"every_copy_held", "held_if_counted"}


def test_slots_are_kept() -> None:
    """GPU 2 has one slot: two experts on it are rejected."""
    model = model_with(*EXACT)
    choose(model, {0: [2], 1: [2]})
    assert broken(model) == {"slots"}


def test_even_load_and_largest() -> None:
    """60 tokens over GPUs 0 and 1, 30 on GPU 1: loads 30 and 60; at speed 2 the largest is 30, and 29 is rejected."""
    model = model_with(
        *EXACT, load.add_even_load_on_gpus, load.add_largest_load_on_gpus, load.add_expected_largest_load
    )
    choose(model, {0: [0, 1], 1: [1]})
    assert [pyo.value(model.gpu_load[0, g]) * UNIT for g in range(3)] == pytest.approx([30, 60, 0])
    model.largest[0].set_value(30 / UNIT)
    assert broken(model) == set()
    assert pyo.value(model.cost) == pytest.approx(30)
    model.largest[0].set_value(29 / UNIT)
    assert broken(model) == {"largest_on_gpu"}


def test_copy_size_bound() -> None:
    """One copy of 60 tokens on the fastest GPU of speed 2 takes 30; less is rejected."""
    model = model_with(*EXACT, load.add_even_load_on_gpus, load.add_largest_load_on_gpus, load.add_copy_size_bound)
    choose(model, {0: [1], 1: [0]})
    model.largest[0].set_value(30 / UNIT)
    assert broken(model) == set()
    model.largest[0].set_value(29.9 / UNIT)
    assert "largest_copy" in broken(model)


def test_free_split_goes_where_copies_are() -> None:
    """All tokens must go somewhere, and only to GPUs that hold the expert."""
    model = model_with(copies.add_experts_held, load.add_free_load_on_gpus)
    for expert, gpu, tokens in ((0, 0, 45.0), (0, 1, 15.0), (1, 1, 30.0)):
        model.held[expert, gpu].set_value(1)
        model.tokens[0, expert, gpu].set_value(tokens / UNIT)
    assert broken(model) == set()
    model.tokens[0, 0, 0].set_value(40.0 / UNIT)
    assert broken(model) == {"all_tokens"}
    model.tokens[0, 0, 2].set_value(5.0 / UNIT)
    assert broken(model) == {"tokens_where_held"}
    model.held[1, 1].set_value(0)
    assert broken(model) == {"tokens_where_held", "copies"}


DOMAIN = (copies.add_copy_counts, copies.add_copies_in_domains, copies.add_slots_in_domains)


def place(model: pyo.ConcreteModel, placed: dict[int, list[int]]) -> None:
    """Set count and placed to copies [domain] of each expert."""
    for expert, spread in placed.items():
        model.count[expert, sum(spread)].set_value(1)
        for domain, number in enumerate(spread):
            model.placed[expert, sum(spread), domain].set_value(number)


def test_copies_in_domains() -> None:
    """Two copies in domain 0 and one in domain 1 are accepted; two experts in domain 1, of one slot, are not."""
    model = model_with(*DOMAIN)
    place(model, {0: [2, 1], 1: [1, 0]})
    assert broken(model) == set()
    model = model_with(*DOMAIN)
    place(model, {0: [1, 1], 1: [1, 1]})
    assert broken(model) == {"slots"}
    assert model.placed[0, 2, 1].ub == 1  # one GPU there: no second copy of one expert


def test_even_load_in_domains() -> None:
    """60 tokens over 2 + 1 copies and 30 in domain 0: 70 over speed 3 and 20 over speed 1; 23 is too little."""
    model = model_with(*DOMAIN, load.add_even_load_in_domains, load.add_largest_load_in_domains)
    place(model, {0: [2, 1], 1: [1, 0]})
    assert [pyo.value(model.domain_load[0, q]) * UNIT for q in (0, 1)] == pytest.approx([70, 20])
    model.largest[0].set_value(70 / 3 / UNIT)
    assert broken(model) == set()
    model.largest[0].set_value(23 / UNIT)
    assert broken(model) == {"largest_in_domain"}


def test_nearest_load_in_domains() -> None:
    """Sources 0.75 and 0.25, expert 0 in both domains, expert 1 in domain 0 only.

    Domain 0: 60 * 0.75 + 30 * (0.75 + 0.25) = 75; domain 1: 60 * 0.25 = 15. Calling domain 1 local for expert 1, or
    leaving out what it sends away, is rejected.
    """
    problem = PlacementProblem(
        PROBLEM.load,
        PROBLEM.probability,
        PROBLEM.slots,
        PROBLEM.speed,
        PROBLEM.domain,
        source_share=np.array([0.75, 0.25]),
    )
    model = pyo.ConcreteModel()
    for block in (*DOMAIN, load.add_nearest_load_in_domains):
        block(model, problem)
    for variable in model.component_data_objects(pyo.Var):
        variable.set_value(0)
    place(model, {0: [1, 1], 1: [1, 0]})
    for expert, domain in ((0, 0), (0, 1), (1, 0)):
        model.local[expert, domain].set_value(1)
    assert broken(model) == {"away_unless_local"}
    model.away[1, 1, 1, 0].set_value(1)
    assert broken(model) == set()
    assert [pyo.value(model.domain_load[0, q]) * UNIT for q in (0, 1)] == pytest.approx([75, 15])
    model.local[1, 1].set_value(1)
    assert broken(model) == {"local_only_if_any"}


def test_packing_levels_a_domain() -> None:
    """Four experts of 7, 5, 4, 2 tokens on two GPUs of two slots: longest first gives 7 + 2 and 5 + 4, level at 9."""
    problem = PlacementProblem.of_equal_gpus(np.array([7.0, 5.0, 4.0, 2.0]), gpus=2, slots_per_gpu=2)
    held = pack_domains(problem, np.ones((4, 1), dtype=np.int64))
    assert problem.gpu_load(held).ravel().tolist() == [9, 9]


def test_packing_improves_on_longest_first() -> None:
    """3, 3, 2, 2, 2 on two GPUs: longest first ends at 7, the steps after it reach the mean, 6."""
    problem = PlacementProblem.of_equal_gpus(np.array([3.0, 3.0, 2.0, 2.0, 2.0]), gpus=2, slots_per_gpu=3)
    assert problem.cost(pack_domains(problem, np.ones((5, 1), dtype=np.int64))) == pytest.approx(6)
