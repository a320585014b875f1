"""What a GPU or a domain computes, and the largest of it.

Loads inside the model are in units of ``problem.unit_load`` so that rows are about 1; the objective is in tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from formulations.placement_problem import PlacementProblem


def add_even_load_on_gpus(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401 - a Pyomo model
    """Split tokens evenly over copies: gpu_load[k, g] = sum_e,n (w_ke / n) held[e, n, g]."""
    tokens = problem.load / problem.unit_load
    model.scenarios = pyo.RangeSet(0, problem.scenarios - 1)
    model.gpu_load = pyo.Expression(
        model.scenarios,
        model.gpus,
        rule=lambda m, k, g: sum(float(tokens[k, e]) / n * m.held[e, n, g] for e, n in m.expert_counts),
    )


def add_free_load_on_gpus(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Split tokens as is best, in each scenario anew.

    tokens[k, e, g] >= 0, sum_g tokens[k, e, g] = w_ke, tokens[k, e, g] <= w_ke held[e, g];
    gpu_load[k, g] = sum_e tokens[k, e, g].
    """
    load = problem.load / problem.unit_load
    model.scenarios = pyo.RangeSet(0, problem.scenarios - 1)
    model.tokens = pyo.Var(model.scenarios, model.experts, model.gpus, domain=pyo.NonNegativeReals)
    model.all_tokens = pyo.Constraint(
        model.scenarios,
        model.experts,
        rule=lambda m, k, e: sum(m.tokens[k, e, g] for g in m.gpus) == float(load[k, e]),
    )
    model.tokens_where_held = pyo.Constraint(
        model.scenarios,
        model.experts,
        model.gpus,
        rule=lambda m, k, e, g: m.tokens[k, e, g] <= float(load[k, e]) * m.held[e, g],
    )
    model.gpu_load = pyo.Expression(
        model.scenarios, model.gpus, rule=lambda m, k, g: sum(m.tokens[k, e, g] for e in m.experts)
    )


def add_even_load_in_domains(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Split tokens evenly over copies: domain_load[k, q] = sum_e,n (w_ke / n) placed[e, n, q]."""
    tokens = problem.load / problem.unit_load
    model.scenarios = pyo.RangeSet(0, problem.scenarios - 1)
    model.domain_load = pyo.Expression(
        model.scenarios,
        model.domains,
        rule=lambda m, k, q: sum(float(tokens[k, e]) / n * m.placed[e, n, q] for e, n in m.expert_counts),
    )


def add_nearest_load_in_domains(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Keep tokens in their domain where it has a copy, else split them evenly over all copies.

    local[e, q] in {0, 1}, 1 iff some placed[e, n, q] > 0;
    away[e, n, r, q] >= placed[e, n, q] - min(n, G_q) local[e, r] and >= 0: copies in q that serve tokens from r;
    domain_load[k, q] = sum_e w_ke (s_q local[e, q] + sum_{r != q} s_r sum_n away[e, n, r, q] / n).
    ``away`` is bounded from below only, which is exact because load is only ever pressed down.
    """
    tokens, share = problem.load / problem.unit_load, problem.source_share
    if share is None:
        raise ValueError("nearest dispatch needs the share of tokens that start in each domain")
    size = {q: len(problem.gpus_of(q)) for q in range(problem.domains)}
    model.scenarios = pyo.RangeSet(0, problem.scenarios - 1)
    model.sources = pyo.RangeSet(0, problem.domains - 1)
    model.local = pyo.Var(model.experts, model.sources, domain=pyo.Binary)
    model.away = pyo.Var(model.expert_counts, model.sources, model.domains, domain=pyo.NonNegativeReals)

    def copies(m: Any, e: int, q: int) -> Any:  # noqa: ANN401 - a Pyomo expression
        return sum(m.placed[e, n, q] for n in _counts(problem, e)) if size[q] else 0

    model.local_if_any = pyo.Constraint(
        model.experts, model.domains, rule=lambda m, e, q: copies(m, e, q) <= size[q] * m.local[e, q]
    )
    model.local_only_if_any = pyo.Constraint(
        model.experts, model.sources, rule=lambda m, e, q: m.local[e, q] <= copies(m, e, q)
    )
    model.away_unless_local = pyo.Constraint(
        model.expert_counts,
        model.sources,
        model.domains,
        rule=lambda m, e, n, r, q: (
            m.away[e, n, r, q] >= m.placed[e, n, q] - min(n, size[q]) * m.local[e, r] if r != q else pyo.Constraint.Skip
        ),
    )

    def domain_load(m: Any, k: int, q: int) -> Any:  # noqa: ANN401 - a Pyomo expression
        here = float(share[q])
        return sum(float(tokens[k, e]) * here * m.local[e, q] for e in m.experts) + sum(
            float(tokens[k, e] * share[r]) / n * m.away[e, n, r, q]
            for e, n in m.expert_counts
            for r in m.sources
            if r != q
        )

    model.domain_load = pyo.Expression(model.scenarios, model.domains, rule=domain_load)


def add_largest_load_on_gpus(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Let largest[k] be no less than any GPU's load over its speed: largest[k] >= gpu_load[k, g] / s_g."""
    _add_largest(model)
    model.largest_on_gpu = pyo.Constraint(
        model.scenarios,
        model.gpus,
        rule=lambda m, k, g: float(problem.speed[g]) * m.largest[k] >= m.gpu_load[k, g],
    )


def add_largest_load_in_domains(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Let largest[k] be no less than any domain's mean: largest[k] >= domain_load[k, q] / sum_g in q s_g.

    The fullest GPU of a domain holds at least the domain's mean, so this bounds it from below.
    """
    _add_largest(model)
    model.largest_in_domain = pyo.Constraint(
        model.scenarios,
        model.domains,
        rule=lambda m, k, q: float(problem.speed[problem.gpus_of(q)].sum()) * m.largest[k] >= m.domain_load[k, q],
    )


def add_copy_size_bound(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Let largest[k] be no less than any single copy: s_max largest[k] >= sum_n (w_ke / n) count[e, n].

    Some copy of e takes at least the mean w_ke / n_e whatever the split, and no GPU is faster than s_max. Whole copies
    imply it, but it lifts the relaxation.
    """
    tokens = problem.load / problem.unit_load
    fastest = float(problem.speed[problem.usable_gpus].max())
    model.largest_copy = pyo.Constraint(
        model.scenarios,
        model.experts,
        rule=lambda m, k, e: (
            fastest * m.largest[k] >= sum(float(tokens[k, e]) / n * m.count[e, n] for n in _counts(problem, e))
        ),
    )


def add_expected_largest_load(model: Any, problem: PlacementProblem) -> None:  # noqa: ANN401
    """Minimise the expected largest load over speed, in tokens: unit sum_k p_k largest[k]."""
    weight = problem.unit_load * problem.probability
    model.cost = pyo.Objective(
        expr=sum(float(weight[k]) * model.largest[k] for k in model.scenarios), sense=pyo.minimize
    )


def _add_largest(model: Any) -> None:  # noqa: ANN401 - a Pyomo model
    model.largest = pyo.Var(model.scenarios, domain=pyo.NonNegativeReals)


def _counts(problem: PlacementProblem, expert: int) -> range:
    return range(1, int(problem.most_copies[expert]) + 1)
