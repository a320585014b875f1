"""Experts on domains that a token is sent to once: every placement tried, and the dossier's sixteen experts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from formulations.dedup_crossing import DedupCrossing, DedupCrossingProblem
from planner.errors import InstanceError, NoPlanFound
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions

EXACT = SolveOptions(gap=0, threads=1)
PAIRS = np.array(list(itertools.combinations(range(16), 2)))
HIDDEN = np.repeat([0, 1, 0], [6, 8, 2])
TOGETHER = HIDDEN[PAIRS[:, 0]] == HIDDEN[PAIRS[:, 1]]


def two_racks(weight: np.ndarray) -> DedupCrossingProblem:
    """Sixteen experts, two a token, eight a rack."""
    return DedupCrossingProblem(PAIRS, weight, np.array([8, 8]), np.array([0.5, 0.5]))


CLUSTERED = two_racks(np.where(TOGETHER, 0.9 / TOGETHER.sum(), 0.1 / (~TOGETHER).sum()))
UNIFORM = two_racks(np.ones(len(PAIRS)))


def test_two_hidden_communities_are_found() -> None:
    """90 % of the tokens stay in one of two communities: .5500 sends a token, and each community has its rack."""
    built = DedupCrossing().build(CLUSTERED)
    result = solve_pyomo(built.model, EXACT)
    assert result.objective == pytest.approx(0.55, abs=1e-6)
    assert result.bound == pytest.approx(0.55, abs=1e-6)
    home = built.extract()
    assert all(len(set(home[community == HIDDEN].tolist())) == 1 for community in (0, 1))
    assert CLUSTERED.sends_per_token(np.arange(16) // 8) == pytest.approx(0.7241, abs=1e-4)


def test_uniform_pairs_by_the_counting_rows() -> None:
    """.5 * 7/15 + 8/15 whatever the placement; the rows prove it in the relaxation, which says .5333 without."""
    model = DedupCrossing().build(UNIFORM).model
    assert solve_lp_relaxation(compile_pyomo(model).matrix).objective == pytest.approx(0.5 * 7 / 15 + 8 / 15)
    model.counted.deactivate()
    assert solve_lp_relaxation(compile_pyomo(model).matrix).objective == pytest.approx(8 / 15)
    assert UNIFORM.sends_per_token(np.arange(16) % 2) == pytest.approx(0.76667, abs=1e-5)


@pytest.mark.parametrize("every_set", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_the_program_reaches_the_listed_optimum(seed: int, every_set: bool) -> None:
    """Six experts, three domains of unlike size and tokens from everywhere: all placements tried."""
    draw = np.random.default_rng(seed)
    classes = np.array(list(itertools.combinations(range(6), 3)))
    if not every_set:
        classes = classes[np.sort(draw.choice(np.arange(20), 8, replace=False))]
        classes = np.r_[classes, [[3, 4, 5]]]
    problem = DedupCrossingProblem(
        classes, draw.lognormal(0, 1, len(classes)), np.array([3, 2, 2]), draw.dirichlet(np.ones(3))
    )
    listed = min(
        problem.sends_per_token(np.array(home))
        for home in itertools.product(range(3), repeat=6)
        if (np.bincount(home, minlength=3) <= problem.slots).all()
    )
    built = DedupCrossing().build(problem)
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(listed, rel=1e-6)
    assert problem.sends_per_token(built.extract()) == pytest.approx(listed, rel=1e-6)
    relaxed = solve_lp_relaxation(compile_pyomo(built.model).matrix).objective
    assert relaxed is not None
    assert relaxed <= listed * (1 + 1e-9)


def test_bad_data_is_refused_all_at_once() -> None:
    """A set that names an expert twice, and shares that do not sum to 1; then too few slots."""
    with pytest.raises(InstanceError) as caught:
        DedupCrossingProblem(np.array([[0, 0]]), np.array([1.0]), np.array([1]), np.array([0.5]))
    assert {entry.key for entry in caught.value.problems} == {"classes", "source_share"}
    with pytest.raises(NoPlanFound, match="1 expert slots are fewer than 2"):
        DedupCrossingProblem(np.array([[0, 1]]), np.array([1.0]), np.array([1]), np.array([1.0]))
