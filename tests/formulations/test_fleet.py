"""The fleet program against enumeration of replica counts, against another solver, and its rules one by one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from serving_helpers import candidate, carries, hand_tables

from formulations import fleet
from formulations.blocks.serving import most_replicas
from planner.costs.tables import undominated
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.costs.tables import CostTables

EXACT = SolveOptions(gap=0)


def optimum(tables: CostTables) -> float:
    """Solve to a gap of 0; infinite where nothing is feasible."""
    result = solve_pyomo(fleet.build(tables).model, EXACT)
    return math.inf if result.objective is None else result.objective


def fewest_bins(sizes: Sequence[int], capacity: int) -> int:
    """Pack fragments into the fewest domains by trying every domain for every fragment."""

    def place(left: list[int], bins: tuple[int, ...], best: int) -> int:
        if not left:
            return min(best, len(bins))
        if len(bins) >= best:
            return best
        for spot in range(len(bins) + 1):
            used = bins[spot] if spot < len(bins) else 0
            if used + left[0] <= capacity:
                grown = (*bins[:spot], used + left[0], *bins[spot + 1 :])
                best = place(left[1:], tuple(sorted(grown)), best)
        return best

    return place(sorted(sizes, reverse=True), (), len(sizes) + 1)


def cost_of(tables: CostTables, counts: Sequence[int]) -> float:
    """Price replica counts by hand; infinite where the domains do not suffice."""
    total = 0.0
    for pool, size in enumerate(tables.gpus_per_domain):
        own = [(entry, n) for entry, n in zip(tables.candidates, counts, strict=True) if entry.pool == pool]
        fragments = [entry.fragment_gpus for entry, n in own for _ in range(n) if entry.fragment_gpus]
        used = sum(entry.whole_domains * n for entry, n in own) + fewest_bins(fragments, size)
        there = tables.domains[pool]
        if there is not None and used > there:
            return math.inf
        gpus = used * size if tables.pays_idle_gpus[pool] else sum(entry.gpus * n for entry, n in own)
        total += tables.usd_per_gpu[pool] * gpus
    return total


def enumerated(tables: CostTables, most: int = 3) -> float:
    """Try every number of replicas up to ``most`` of each candidate."""
    found = math.inf
    for counts in itertools.product(range(most + 1), repeat=len(tables.candidates)):
        cost = cost_of(tables, counts)
        if cost < found and carries(tables, counts):
            found = cost
    return found


@st.composite
def small_tables(draw: st.DrawFn) -> CostTables:
    """Draw three or four candidates of two pools for one or two classes, needing at most three replicas each."""
    classes = draw(st.integers(1, 2))
    phases = draw(st.sampled_from([("both", "both", "both"), ("prefill", "decode", "both"), ("prefill", "decode")]))
    demand = [draw(st.integers(1, 3)) for _ in range(classes)]
    entries, rates = [], []
    for phase in phases:
        served = draw(st.sampled_from([(0,), tuple(range(classes))])) if entries else tuple(range(classes))
        served = served if phase == "both" else tuple(range(classes))
        row = [0.0] * classes
        for d in served:
            row[d] = draw(st.sampled_from([1.0, 1.5, 2.0, 3.5])) * (2 if classes == 2 else 1)
        gpus = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 10]))
        entries.append(candidate(gpus, phase=phase, classes=served, pool=draw(st.integers(0, 1))))
        rates.append(row)
    return hand_tables(
        entries,
        rates,
        demand,
        usd=(1.0, draw(st.sampled_from([0.5, 1.0, 2.0]))),
        pays_idle=(draw(st.booleans()), draw(st.booleans())),
        domains=(draw(st.sampled_from([None, 1, 2])), draw(st.sampled_from([None, 3]))),
    )


@settings(deadline=None, max_examples=40)
@given(tables=small_tables())
def test_optimum_equals_enumeration(tables: CostTables) -> None:
    """Every number of replicas tried, flows by an LP, fragments packed by hand: the same least cost."""
    assert optimum(tables) == pytest.approx(enumerated(tables), rel=1e-6)


@settings(deadline=None, max_examples=15)
@given(tables=small_tables())
def test_another_solver_agrees_on_the_written_matrix(tables: CostTables) -> None:
    """``scipy.optimize.milp`` finds the same optimum of the compiled matrix."""
    matrix = compile_pyomo(fleet.build(tables).model).matrix
    found = milp(
        matrix.cost,
        integrality=matrix.integrality != 0,
        bounds=Bounds(matrix.column_lower, matrix.column_upper),
        constraints=LinearConstraint(matrix.matrix, matrix.row_lower, matrix.row_upper),
    )
    other = found.fun + matrix.offset if found.success else math.inf
    assert optimum(tables) == pytest.approx(other, rel=1e-6)


def test_idle_gpus_are_paid_where_domains_are() -> None:
    """Five GPUs of a domain of eight cost five where GPUs are rented, eight where domains are."""
    tables = hand_tables([candidate(5)], [[1.0]], [1.0])
    assert optimum(tables) == pytest.approx(5.0)
    assert optimum(replace(tables, pays_idle_gpus=(True,))) == pytest.approx(8.0)


def test_fragments_share_a_domain() -> None:
    """A prefill of five and a decode of three GPUs fill one domain; of five and four they need two."""
    entries = [candidate(5, phase="prefill"), candidate(3, phase="decode"), candidate(4, phase="decode")]
    one = hand_tables(entries[:2], [[1.0]] * 2, [1.0], pays_idle=(True,))
    two = hand_tables([entries[0], entries[2]], [[1.0]] * 2, [1.0], pays_idle=(True,))
    assert optimum(one) == pytest.approx(8.0)
    assert optimum(two) == pytest.approx(16.0)


def test_a_spanning_deployment_takes_whole_domains_and_a_fragment() -> None:
    """Twenty GPUs take two whole domains and four GPUs of a third, which another deployment may fill."""
    tables = hand_tables([candidate(20), candidate(4)], [[1.0, 0], [0, 1.0]], [1.0, 1.0], pays_idle=(True,))
    tables = replace(tables, candidates=(candidate(20, classes=(0,)), candidate(4, classes=(1,))))
    assert optimum(tables) == pytest.approx(24.0)
    assert optimum(replace(tables, domains=(2,))) == math.inf


def test_domains_limit_what_can_be_had() -> None:
    """Five replicas of three GPUs: two fit a domain of eight, so three domains are needed and two are not enough."""
    tables = hand_tables([candidate(3)], [[1.0]], [5.0])
    assert optimum(replace(tables, domains=(3,))) == pytest.approx(15.0)
    assert optimum(replace(tables, domains=(2,))) == math.inf


def test_a_candidate_for_both_phases_counts_in_both() -> None:
    """Four GPUs that do both beat three and three that do one each."""
    entries = [candidate(4), candidate(3, phase="prefill"), candidate(3, phase="decode")]
    assert optimum(hand_tables(entries, [[1.0]] * 3, [1.0])) == pytest.approx(4.0)
    assert optimum(hand_tables(entries[1:], [[1.0]] * 2, [1.0])) == pytest.approx(6.0)


def test_replica_shared_by_classes() -> None:
    """Half of a replica's time for each of two classes: one is enough; at 0.6 each two are needed."""
    entry = candidate(2, classes=(0, 1))
    assert optimum(hand_tables([entry], [[2.0, 4.0]], [1.0, 2.0])) == pytest.approx(2.0)
    assert optimum(hand_tables([entry], [[2.0, 4.0]], [1.2, 2.4])) == pytest.approx(4.0)


def test_class_without_demand_needs_nothing() -> None:
    """A class at rate 0 is not served and costs nothing."""
    tables = hand_tables([candidate(2, classes=(0,))], [[1.0, 0.0]], [1.0, 0.0])
    assert optimum(tables) == pytest.approx(2.0)


def test_most_replicas() -> None:
    """The need rounded up, at most what the pool holds: 2.5 replicas of 6 GPUs; one domain of 8 holds one."""
    tables = hand_tables([candidate(6)], [[1.0]], [2.5])
    assert most_replicas(tables, 0) == 3
    assert most_replicas(replace(tables, domains=(1,)), 0) == 1


def test_relaxation_bounds_and_prices_demand() -> None:
    """The LP is GPUs per request times demand: 2 GPUs a request/s at 1.3 requests/s."""
    matrix = compile_pyomo(fleet.build(hand_tables([candidate(2)], [[1.0]], [1.3])).model).matrix
    assert solve_lp_relaxation(matrix).objective == pytest.approx(2.6)


def test_second_aim_takes_the_fewest_gpus() -> None:
    """Where the domain is paid anyway, six GPUs that do the work are preferred to eight."""
    program = fleet.build(hand_tables([candidate(7), candidate(6)], [[1.0]] * 2, [1.0], pays_idle=(True,)))
    solve_pyomo(program.model, EXACT)
    program.prefer_fewest_gpus(8.0)
    assert solve_pyomo(program.model, EXACT).objective == pytest.approx(6.0)
    choice = program.extract()
    assert choice.replicas == {1: 1}
    assert choice.cost_usd == pytest.approx(8.0)
    assert choice.patterns == {0: {(6,): 1}}


def test_third_aim_takes_the_fewest_kinds() -> None:
    """Six GPUs serve six requests/s as 2 + 4 or as three replicas of 2: one kind of deployment is preferred."""
    tables = hand_tables([candidate(2), candidate(4)], [[2.0], [4.0]], [6.0])
    program = fleet.build(tables)
    program.model.replicas[0].set_value(1)
    program.model.replicas[1].set_value(1)
    program.prefer_fewest_gpus(6.0)
    program.prefer_fewest_kinds(6)
    assert solve_pyomo(program.model, EXACT).objective == pytest.approx(1.0)
    choice = program.extract()
    assert choice.replicas == {0: 3}
    assert program.gpus_of(choice) == 6


def test_extract_drops_what_is_held_in_vain() -> None:
    """A point with an idle replica and an empty domain is read without them, and priced without them."""
    program = fleet.build(hand_tables([candidate(4), candidate(6)], [[1.0]] * 2, [2.0], pays_idle=(True,)))
    model = program.model
    for var, value in ((model.replicas[0], 2), (model.replicas[1], 1), (model.share[0, 0], 0.5)):
        var.set_value(value)
    model.share[1, 0].set_value(0.0)
    block = model.packing[0]
    block.domains_used.set_value(2)
    for arc in block.item:
        block.item[arc].set_value({(0, 4): 1, (4, 8): 1, (0, 6): 1}.get(arc, 0))
    for arc in block.idle:
        block.idle[arc].set_value(1 if arc == (6, 8) else 0)
    assert pyo.value(model.cost_usd) == pytest.approx(16.0)
    choice = program.extract()
    assert choice.replicas == {0: 1}
    assert choice.patterns == {0: {(4,): 1}}
    assert choice.cost_usd == pytest.approx(8.0)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(st.tuples(st.sampled_from([2, 3, 8]), st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=7),
    pays_idle=st.booleans(),
)
def test_pruning_keeps_an_optimum(rows: list[tuple[int, int, int]], pays_idle: bool) -> None:
    """The optimum over all candidates is that over the undominated ones."""
    entries = [candidate(row[0], classes=(0, 1)) for row in rows]
    rates = np.array([row[1:] for row in rows], dtype=float)
    kept = undominated(np.array([row[0] for row in rows]), rates).tolist()
    whole = hand_tables(entries, rates.tolist(), [2.5, 3.5], pays_idle=(pays_idle,))
    pruned = hand_tables([entries[row] for row in kept], rates[kept].tolist(), [2.5, 3.5], pays_idle=(pays_idle,))
    assert optimum(pruned) == pytest.approx(optimum(whole), rel=1e-9)


def test_what_is_infeasible_says_so() -> None:
    """Too few domains end as infeasible, not as an error."""
    tables = hand_tables([candidate(8)], [[1.0]], [3.0], domains=(2,))
    result = solve_pyomo(fleet.build(tables).model, EXACT)
    assert result.stop_reason is StopReason.infeasible
    assert not result.has_point


def test_choice_reads_flows_and_domains() -> None:
    """Three replicas of three GPUs lie in two domains, and the flows add up to the demand."""
    program = fleet.build(hand_tables([candidate(3)], [[1.0]], [3.0], domains=(2,)))
    solve_pyomo(program.model, EXACT)
    choice = program.extract()
    assert choice.replicas == {0: 3}
    assert sum(choice.requests_per_s.values()) == pytest.approx(3.0)
    assert Counter(itertools.chain(*choice.patterns[0].elements()))[3] == 3
    assert choice.patterns[0].total() == 2


@settings(deadline=None, max_examples=20)
@given(tables=small_tables())
def test_counting_gpus_first_cuts_no_optimum(tables: CostTables) -> None:
    """The GPUs that any plan needs, put back as a limit, leave the least cost as it is."""
    program = fleet.build(tables)
    program.aim_at_gpus()
    counted = solve_pyomo(program.model, EXACT)
    if counted.has_point:
        program.aim_at_cost()
        program.require_gpus(counted.bound)
        assert solve_pyomo(program.model, EXACT).objective == pytest.approx(optimum(tables), rel=1e-6)


def test_a_count_without_a_bound_requires_nothing() -> None:
    """A count stopped before its first bound leaves the program as it was."""
    program = fleet.build(hand_tables([candidate(3)], [[1.0]], [1.0], pays_idle=(True,)))
    program.require_gpus(-math.inf)
    assert solve_pyomo(program.model, EXACT).objective == pytest.approx(8.0)
