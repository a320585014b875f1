"""Public bug reports and questions on expert placement (BR01 to BR17), each with its stated answer.

The source of a case stands in its docstring. Numbers are those of the reports; the optima of BR06 were enumerated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import planner
from planner.cli.app import app
from planner.costs.dispatch_limits import (
    BUFFER_LIMIT_BYTES,
    GIB,
    low_latency_buffer_bytes,
    most_tokens_per_rank,
    worst_destination_nodes,
)
from planner.errors import InstanceError
from planner.exchange.any_map import read_any_map
from planner.exchange.expert_map import inspect
from planner.exchange.loads import read_load_file
from planner.exchange.routing import distinct_expert_notes
from planner.strategies.migration import Verdict
from planner.strategies.redundancy import lowest_redundant, nearest_redundant, slots_per_gpu
from planner.strategies.result import gpu_load

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real_inputs"
DUMPS = REAL / "expert_dumps"
shared = pytest.mark.skipif(not DUMPS.is_dir(), reason="no shared data folder")

README = np.array(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ]
)
"""Loads of the EPLB README, [layer, expert]."""

BR01 = [
    (256, 3, 2, 86),
    (256, 5, 4, 52),
    (256, 7, 3, 37),
    (256, 24, 8, 11),
    (256, 32, 0, 8),
    (384, 7, 1, 55),
    (160, 3, 2, 54),
    (128, 6, 4, 22),
    (60, 8, 4, 8),
    (8, 3, 1, 3),
]
"""Experts, ranks, lowest R, slots per rank."""


def written(folder: Path, table: np.ndarray[Any, Any]) -> Path:
    """Write a load file."""
    path = folder / "loads.json"
    path.write_text(json.dumps({"logical_count": table.tolist()}))
    return path


@pytest.mark.parametrize(("experts", "ranks", "lowest", "slots"), BR01)
def test_br01_lowest_valid_redundancy(experts: int, ranks: int, lowest: int, slots: int) -> None:
    """From vllm issue 30075: the lowest R is -E mod EP, further ones come in steps of EP."""
    assert lowest_redundant(experts, ranks) == lowest
    assert slots_per_gpu(experts, ranks, lowest) == slots
    assert nearest_redundant(experts, ranks, lowest + ranks) == (lowest + ranks, lowest + ranks)


def test_br01_place_takes_the_lowest_by_default(tmp_path: Path) -> None:
    """256 experts on 3 GPUs are refused with R = 0, naming the next valid one, and get R = 2 by default."""
    loads = str(written(tmp_path, np.full((1, 256), 10)))
    arguments = ["place", "--loads", loads, "--gpus", "3", "--out", str(tmp_path / "out"), "--format", "json"]
    refused = CliRunner().invoke(app, [*arguments, "--redundant", "0"])
    assert refused.exit_code == 2
    assert "nearest valid: 2" in refused.stderr
    between = CliRunner().invoke(app, [*arguments, "--redundant", "4"])
    assert "nearest valid: 2 or 5" in between.stderr
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert read_any_map(tmp_path / "out").rows.shape == (1, 3 * 86)


def test_br03_the_group_is_ep_not_tp() -> None:
    """From vllm issue 57465: 260 slots divide by TP 4 but not by EP = TP x DP = 8; nearest valid R: 0 or 8."""
    tensor_parallel, data_parallel, experts, redundant = 4, 2, 256, 4
    ranks = tensor_parallel * data_parallel
    assert (experts + redundant) % tensor_parallel == 0
    with pytest.raises(InstanceError, match="nearest valid: 0 or 8"):
        slots_per_gpu(experts, ranks, redundant)


def test_br05_two_copies_on_a_rank_are_flagged() -> None:
    """EPLB issue 22: rank 16 of 32 holds expert 236 twice, 8 distinct experts in 9 slots."""
    rows = np.arange(32 * 9).reshape(32, 9) % 256
    rows[16] = [200, 226, 236, 236, 12, 204, 156, 229, 184]
    assert inspect(rows.reshape(1, -1), 32).duplicates == ((0, 16, 236, 2),)


@shared
@pytest.mark.shared_data
def test_br05_the_published_excerpt() -> None:
    """The file holds one rank and a prefix of the load: refused as both, the doubled expert named."""
    path = DUMPS / "eplb_issue22_duplicate_expert_on_one_rank.json"
    with pytest.raises(InstanceError, match="rank 16 holds expert 236 2 times: 8 distinct experts in 9 slots"):
        read_any_map(path)
    with pytest.raises(InstanceError, match="first 22 of 256 counts"):
        read_load_file(path)


def test_br05_no_map_of_ours_has_two_copies_on_a_rank() -> None:
    """The setting of the report, with and without groups kept on nodes: no doubled expert."""
    load = np.random.default_rng(5).lognormal(sigma=0.8, size=(3, 256))
    for kept in (False, True):
        rows, _, _ = planner.rebalance_experts(load, 288, 16, 2, 32, groups_on_nodes=kept)
        assert inspect(rows, 32).duplicates == ()


def test_br06_the_best_placements_of_the_published_example() -> None:
    """EPLB README: its map has 156 and 179.5; enumerated 136 and 172, or 151 and 179.5 with groups on nodes."""
    free, _, _ = planner.rebalance_experts(README, 16, 4, 2, 8)
    kept, _, _ = planner.rebalance_experts(README, 16, 4, 2, 8, groups_on_nodes=True)
    assert gpu_load(free, README, 8)[0].mean(axis=1).tolist() == [129.125, 144.5]
    assert gpu_load(free, README, 8)[0].max(axis=1) == pytest.approx([136.0, 172.0])
    assert gpu_load(kept, README, 8)[0].max(axis=1) == pytest.approx([151.0, 179.5])
    published = np.array(
        [
            [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
            [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
        ]
    )
    assert gpu_load(published, README, 8)[0].max(axis=1) == pytest.approx([156.0, 179.5])


@pytest.mark.parametrize(("gpus", "free", "kept"), [(32, 4, 4), (64, 8, 4), (128, 8, 4)])
def test_br07_nodes_a_token_can_reach(gpus: int, free: int, kept: int) -> None:
    """EPLB issue 14: 8 GPUs a node, 8 experts from 4 groups a token; the group rule helps only from EP64 on."""
    nodes = gpus // 8
    assert worst_destination_nodes(nodes, 8) == free
    assert worst_destination_nodes(nodes, 8, groups_per_token=4) == kept


def test_br08_break_even_of_a_rearrangement() -> None:
    """From vllm issue 50647: 24 of them cost 1003.39 s; 1.069 to 1.008 saves 5.7 %, so one pays after 733 s."""
    verdict = Verdict(before=1.069, after=1.008, migration_s=1003.39 / 24, remaining_s=463.11 / 24)
    assert verdict.migration_s == pytest.approx(41.81, abs=0.005)
    assert verdict.gain_fraction == pytest.approx(0.0571, abs=5e-5)
    assert verdict.break_even_s == pytest.approx(733.0, abs=1.0)
    assert not verdict.pays


def test_br09_rearranging_gives_most_of_the_gain() -> None:
    """ATOM issue 1210, EP8: 6.48 req/s as loaded, 7.56 rearranged, 8.06 with 64 copies: the order of our balances.

    Loads so skewed that in some layers one expert outweighs a GPU's share, which only copies can mend: rearranging
    gives most, and copies add to it.
    """
    load = np.random.default_rng(9).lognormal(sigma=2.0, size=(6, 256))
    balance = [
        float(planner.place(load, 8, redundant=redundant, strategy=strategy).balance.mean())
        for strategy, redundant in (("contiguous", 0), ("local_search", 0), ("local_search", 64))
    ]
    assert balance[0] < balance[1] < balance[2]
    assert balance[1] - balance[0] > balance[2] - balance[1]


def test_br11_one_gpu_has_nobody_to_wait_for(tmp_path: Path) -> None:
    """From scattermoe issue 10: experts unequal by 1.22, one GPU: balance 1.0, bound 1.0, nothing to gain."""
    load = np.array([[628, 649, 658, 630, 668, 652, 634, 601], [781, 548, 647, 600, 636, 566, 713, 629]])
    loads = str(written(tmp_path, load))
    for strategy in ("contiguous", "local_search"):
        arguments = ["place", "--loads", loads, "--gpus", "1", "--strategy", strategy, "--format", "json"]
        answer = json.loads(CliRunner().invoke(app, arguments).stdout)
        assert answer["balance_mean"] == pytest.approx(1.0, abs=1e-12)
        assert answer["gap_mean"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("experts", "tokens", "gib", "fits"),
    [
        (448, 2048, 35.547, False),
        (448, 1856, 32.214, False),
        (448, 1840, 31.937, True),
        (448, 1536, 26.66, True),
        (384, 2048, 30.469, True),
    ],
)
def test_br13_the_dispatch_buffer_counts_copies(experts: int, tokens: int, gib: float, fits: bool) -> None:
    """From vllm issue 57894: hidden 5120, limit 32 GiB."""
    size = low_latency_buffer_bytes(experts, tokens, 5120)
    assert size / GIB == pytest.approx(gib, rel=1e-3)
    assert (size <= BUFFER_LIMIT_BYTES) is fits


def test_br13_copies_lower_the_tokens_of_a_rank() -> None:
    """The same issue: 1840 tokens with 64 copies, 2144 without, in steps of 16."""
    assert most_tokens_per_rank(448, 5120) == 1840
    assert most_tokens_per_rank(384, 5120) == 2144


def test_br15_a_dump_of_one_rank_is_no_load(tmp_path: Path) -> None:
    """From sglang issue 5524: 16 of 256 counts; the message names those seen, `place` exits with 2."""
    load = np.zeros((1, 256))
    load[0, :16] = [162554, 147879, 102827, 108924, 46123, 505540, 98864, 184719] * 2
    result = CliRunner().invoke(app, ["place", "--loads", str(written(tmp_path, load)), "--gpus", "16"])
    assert result.exit_code == 2
    assert "only experts 0-15 of 256 were seen" in result.stderr


@shared
@pytest.mark.shared_data
def test_br15_the_published_dump() -> None:
    """The file of the report."""
    with pytest.raises(InstanceError, match="only experts 0-15 of 256 were seen"):
        read_load_file(DUMPS / "sglang_unreduced_one_rank_only_16_of_256.json")


def test_br17_forced_balance_that_touches_half_the_experts() -> None:
    """From afd-plugin issue 156: 64 ranks x 16 tokens cycle one prefix: 128 of 256 experts, 2 of 4 a rank."""
    tokens = np.arange(64 * 16)
    routing = np.stack([(tokens * 8 + choice) % 128 * 2 for choice in range(8)], axis=1)
    assert len(np.unique(routing)) == 128
    notes = distinct_expert_notes([routing], 256)
    assert "touches 128 experts of the 256" in notes[0]
    everything = np.stack([(tokens * 8 + choice) % 256 for choice in range(8)], axis=1)
    assert distinct_expert_notes([everything], 256) == []


@shared
@pytest.mark.shared_data
def test_the_machine_readable_cases_agree() -> None:
    """Every numeric placement case of the shared file is one of those above, with the same answer."""
    cases = [case for case in json.loads((REAL / "cases.json").read_text())["cases"] if case["id"] < "BR20"]
    assert {case["id"] for case in cases} == {"BR01", "BR03", "BR05", "BR06", "BR08", "BR11", "BR13", "BR15"}
    for case in cases:
        given, expected = case["input"], case["expected"]
        if case["id"] == "BR01":
            row = (given["num_experts"], given["ranks"], expected["lowest_redundant"], expected["slots_per_rank"])
            assert row in BR01
        elif case["id"] == "BR13" and "max_tokens_per_rank" in expected:
            most = most_tokens_per_rank(given["physical_experts"], given["hidden"], step=given["step"])
            assert most == expected["max_tokens_per_rank"]
        elif case["id"] == "BR13":
            size = low_latency_buffer_bytes(given["physical_experts"], given["tokens_per_rank"], given["hidden"])
            assert size / GIB == pytest.approx(expected["GiB"], rel=1e-3)
            assert (size / GIB <= given["limit_GiB"]) is expected["fits"]
