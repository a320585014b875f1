"""How many copies an expert has, and where they lie. ``problem`` is a PlacementProblem throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from formulations.placement_problem import PlacementProblem


def add_copy_counts(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401 - a Pyomo model
    """Give every expert one number of copies.

    count[e, n] in {0, 1}, sum_n count[e, n] = 1, n = 1..most copies of e.
    """
    model.experts = pyo.RangeSet(0, problem.experts - 1)
    pairs = [(e, n) for e in range(problem.experts) for n in range(1, int(problem.most_copies[e]) + 1)]
    model.expert_counts = pyo.Set(initialize=pairs, dimen=2)
    model.count = pyo.Var(model.expert_counts, domain=pyo.Binary)
    model.one_count = pyo.Constraint(
        model.experts, rule=lambda m, e: sum(m.count[e, n] for n in range(1, int(problem.most_copies[e]) + 1)) == 1
    )


def add_copies_on_gpus(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Put n distinct GPUs under an expert of n copies.

    held[e, g, n] in {0, 1}, sum_g held[e, g, n] = n count[e, n], held[e, g, n] <= count[e, n].
    """
    model.gpus = pyo.Set(initialize=problem.usable_gpus)
    model.held = pyo.Var(model.expert_counts, model.gpus, domain=pyo.Binary)
    model.every_copy_held = pyo.Constraint(
        model.expert_counts, rule=lambda m, e, n: sum(m.held[e, n, g] for g in m.gpus) == n * m.count[e, n]
    )
    model.held_if_counted = pyo.Constraint(
        model.expert_counts, model.gpus, rule=lambda m, e, n, g: m.held[e, n, g] <= m.count[e, n]
    )


def add_slots_on_gpus(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Hold no more experts on a GPU than it has slots: sum_e,n held[e, n, g] <= c_g."""
    model.slots = pyo.Constraint(
        model.gpus,
        rule=lambda m, g: sum(m.held[e, n, g] for e, n in m.expert_counts) <= int(problem.slots[g]),
    )


def add_copies_in_domains(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Spread the n copies of an expert over domains, at most one a GPU.

    placed[e, n, q] integer, 0 <= placed[e, n, q] <= G_q count[e, n], sum_q placed[e, n, q] = n count[e, n].
    """
    size = [len(problem.gpus_of(q)) for q in range(problem.domains)]
    model.domains = pyo.Set(initialize=[q for q in range(problem.domains) if size[q]])
    model.placed = pyo.Var(
        model.expert_counts,
        model.domains,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _, e, n, q: (0, min(n, size[q])),
    )
    model.every_copy_placed = pyo.Constraint(
        model.expert_counts, rule=lambda m, e, n: sum(m.placed[e, n, q] for q in m.domains) == n * m.count[e, n]
    )
    model.placed_if_counted = pyo.Constraint(
        model.expert_counts,
        model.domains,
        rule=lambda m, e, n, q: m.placed[e, n, q] <= min(n, size[q]) * m.count[e, n],
    )


def add_slots_in_domains(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Place no more copies in a domain than its GPUs have slots: sum_e,n placed[e, n, q] <= sum_g in q c_g."""
    model.slots = pyo.Constraint(
        model.domains,
        rule=lambda m, q: (
            sum(m.placed[e, n, q] for e, n in m.expert_counts) <= int(problem.slots[problem.gpus_of(q)].sum())
        ),
    )


def add_experts_held(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Hold every expert somewhere, within slots and copy limits, whatever the split of its tokens.

    held[e, g] in {0, 1}, 1 <= sum_g held[e, g] <= most copies of e, sum_e held[e, g] <= c_g.
    """
    model.experts = pyo.RangeSet(0, problem.experts - 1)
    model.gpus = pyo.Set(initialize=problem.usable_gpus)
    model.held = pyo.Var(model.experts, model.gpus, domain=pyo.Binary)
    model.copies = pyo.Constraint(
        model.experts, rule=lambda m, e: (1, sum(m.held[e, g] for g in m.gpus), int(problem.most_copies[e]))
    )
    model.slots = pyo.Constraint(
        model.gpus, rule=lambda m, g: sum(m.held[e, g] for e in m.experts) <= int(problem.slots[g])
    )
