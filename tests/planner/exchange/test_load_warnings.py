"""Loads that can be planned on but should not be trusted blindly, and loads that cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import InstanceError
from planner.exchange.loads import read_load_file

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, table: object) -> Path:
    """Write a load file."""
    path = folder / "loads.json"
    path.write_text(json.dumps({"logical_count": np.asarray(table).tolist()}))
    return path


def warnings_of(folder: Path, table: object) -> str:
    """Warnings of a load, joined."""
    return "\n".join(read_load_file(written(folder, table)).warnings)


def even(layers: int, experts: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return a load with 100 tokens everywhere."""
    return np.full((layers, experts), 100)


def test_a_sound_load_has_no_warnings(tmp_path: Path) -> None:
    """A dense layer, equal totals, several steps."""
    table = np.stack([even(3, 16), even(3, 16)])
    table[:, 0] = 0
    assert warnings_of(tmp_path, table) == ""


def test_columns_of_zero_are_named(tmp_path: Path) -> None:
    """Experts 3 and 9 were never seen, in an otherwise full table."""
    table = even(2, 16)
    table[:, [3, 9]] = 0
    assert "experts 3, 9 of 16 were never seen in any layer" in warnings_of(tmp_path, table)


def test_the_block_of_a_missing_rank_is_told(tmp_path: Path) -> None:
    """Experts 16-31 of 256 are exactly the block of rank 1 of 16."""
    table = even(2, 256)
    table[:, 16:32] = 0
    text = warnings_of(tmp_path, table)
    assert "experts 16-31 of 256 were never seen" in text
    assert "counts of a rank may be missing" in text


def test_an_expert_unseen_in_one_full_layer(tmp_path: Path) -> None:
    """Seen elsewhere, so the column is not zero, yet 100 tokens an expert in that layer missed it."""
    table = even(4, 16)
    table[2, 5], table[2, 6] = 0, 200
    assert "1 experts were never seen in their layer" in warnings_of(tmp_path, table)


def test_unequal_totals_are_told(tmp_path: Path) -> None:
    """Layer 1 saw half the tokens: 800 against 1600."""
    table = even(3, 16)
    table[1] //= 2
    assert "from 800 (layer 1) to 1600 (layer 0)" in warnings_of(tmp_path, table)


def test_one_step_is_told(tmp_path: Path) -> None:
    """A recording of one pass follows the noise of one batch."""
    assert "one step only" in warnings_of(tmp_path, even(2, 16)[None])


def test_turned_tables_are_told_and_turned_back(tmp_path: Path) -> None:
    """[expert, layer] and [layer, step, expert]: layers of a recording agree in totals, steps and experts do not."""
    draw = np.random.default_rng(0)
    table = np.stack([draw.multinomial(6400, share) for share in draw.dirichlet(np.ones(64), 5)])
    file = read_load_file(written(tmp_path, table.T))
    assert file.table.tolist() == table.tolist()
    assert any("[expert, layer]" in text for text in file.warnings)
    steps = np.stack([table * factor for factor in (1, 2, 5)], axis=1)
    file = read_load_file(written(tmp_path, steps))
    assert file.table.tolist() == (8 * table).tolist()
    assert any("[layer, step, expert]" in text for text in file.warnings)


def test_half_the_experts_in_one_block_is_a_rank(tmp_path: Path) -> None:
    """BR15 with another size: experts 32-63 of 64."""
    table = np.zeros((3, 64))
    table[:, 32:] = 7
    with pytest.raises(InstanceError, match="only experts 32-63 of 64 were seen"):
        read_load_file(written(tmp_path, table))


def test_whole_blocks_of_few_ranks_are_no_load(tmp_path: Path) -> None:
    """Ranks 0 and 4 of 16: experts 0-15 and 64-79 of 256; scattered experts of a small model are a load, and told."""
    table = np.zeros((2, 256))
    table[:, :16], table[:, 64:80] = 9, 9
    with pytest.raises(InstanceError, match="only experts 0-15, 64-79 of 256 were seen: the counts of some ranks"):
        read_load_file(written(tmp_path, table))
    scattered = np.zeros((2, 32))
    scattered[:, [1, 2, 4, 9, 17, 30]] = 50
    assert "were never seen in any layer: a placement gives them no load" in warnings_of(tmp_path, scattered)


def test_place_states_the_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the JSON list ``warnings``, and as lines on stderr unless quiet."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, even(2, 16)[None])
    arguments = ["place", "--loads", "loads.json", "--gpus", "4", "--format", "json"]
    result = CliRunner().invoke(app, arguments)
    assert json.loads(result.stdout)["warnings"] == [
        "loads.json: holds one step only: plan on more steps, or the plan follows the noise of one batch"
    ]
    assert "warning: loads.json: holds one step only" in result.stderr
    assert CliRunner().invoke(app, [*arguments, "--quiet"]).stderr == ""
