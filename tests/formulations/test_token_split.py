"""The split program against the min-cut of its transport, and the rebuilt program against the one that is reused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from formulations.token_split import TokenSplit, TokenSplitProblem
from planner.errors import InstanceError
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.strategies.token_split import TokenSplitter


def layer(seed: int) -> TokenSplitProblem:
    """Six experts with one to three copies on four GPUs of three slots, speeds 1 or 2, some experts without tokens."""
    draw = np.random.default_rng(seed)
    row = np.concatenate([np.arange(6), draw.integers(0, 6, 6)])[draw.permutation(12)]
    held = np.zeros((6, 4), dtype=bool)
    held[row, np.repeat(np.arange(4), 3)] = True
    load = draw.lognormal(0.0, 1.0, 6) * (draw.random(6) < 0.9)
    return TokenSplitProblem(load + (load.sum() == 0), held, draw.choice([1.0, 2.0], 4))


def largest_cut(case: TokenSplitProblem) -> float:
    """Max-flow min-cut: the largest load of a set of experts over the speed of the GPUs that hold any of them."""
    sets = (list(group) for size in range(1, 7) for group in combinations(range(6), size))
    return max(float(case.load[group].sum() / case.speed[case.held[group].any(axis=0)].sum()) for group in sets)


@pytest.mark.parametrize("seed", range(15))
def test_both_programs_reach_the_cut(seed: int) -> None:
    """Pyomo's program, its relaxation (it is linear) and the reused one equal the cut; the split is a split."""
    case = layer(seed)
    built = TokenSplit().build(case)
    optimum = largest_cut(case)
    assert solve_lp_relaxation(compile_pyomo(built.model).matrix).objective == pytest.approx(optimum, rel=1e-6)
    solve_pyomo(built.model)
    tokens = built.extract()
    assert tokens.sum(axis=1) == pytest.approx(case.load, abs=1e-6)
    assert (tokens[~case.held] == 0).all()
    assert (tokens.sum(axis=0) / case.speed).max() == pytest.approx(optimum, rel=1e-6)


def row_of(case: TokenSplitProblem) -> np.ndarray:
    """Map row of a case, three slots a GPU, -1 where two copies of an expert were drawn for one GPU."""
    row = np.full((4, 3), -1)
    for gpu in range(4):
        experts = np.flatnonzero(case.held[:, gpu])
        row[gpu, : len(experts)] = experts
    return row.ravel()


def test_one_program_serves_all_layers() -> None:
    """Fifteen layers through one HiGHS object: each equals its cut, and a repeat of the first is unchanged."""
    speed = np.array([1.0, 2.0, 1.0, 1.0])
    splitter = TokenSplitter(speed, 3)
    cases = [TokenSplitProblem(layer(seed).load, layer(seed).held, speed) for seed in range(15)]
    for case in [*cases, cases[0]]:
        level = case.load.sum() / speed.sum()
        assert splitter.balance(row_of(case), case.load) == pytest.approx(level / largest_cut(case), rel=1e-6)
        tokens = splitter.split(row_of(case), case.load)
        held = row_of(case) >= 0
        assert np.bincount(row_of(case)[held], tokens[held], minlength=6) == pytest.approx(case.load, rel=1e-9)
        assert (tokens[~held] == 0).all()


def test_dead_gpus_and_dense_layers() -> None:
    """A GPU out of service takes nothing; a layer without tokens has no balance."""
    splitter = TokenSplitter(np.array([1.0, 0.0, 1.0]), 1)
    assert splitter.balance(np.array([0, -1, 1]), np.array([3.0, 1.0])) == pytest.approx(2 / 3)
    assert np.isnan(splitter.balance(np.array([0, -1, 1]), np.zeros(2)))


def test_bad_data_is_refused_all_at_once() -> None:
    """An expert without a copy, a speed of zero and a negative load."""
    with pytest.raises(InstanceError) as caught:
        TokenSplitProblem(np.array([-1.0, 1.0]), np.array([[True, False], [False, False]]), np.array([0.0, 1.0]))
    assert {entry.key for entry in caught.value.problems} == {"load", "held", "speed"}
