"""`planner compare` and `planner sweep`: rows, gaps, resuming."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

CASE = "tiny_mixtral_island"
SWEEP = f"""
name = "two"
title = "Two prices of speed"
case = "{CASE}"

[set]
"pools.h100.usd_per_gpu_hour" = 4.0

[grid]
"demand.chat.requests_per_s" = [6, 12]
"demand.chat.tpot_s" = ["50 ms", "0.1 ms"]
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that holds a sweep."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.toml").write_text(SWEEP)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_compare_gives_a_row_a_strategy_with_a_gap_to_the_best_bound() -> None:
    """Searching never places worse than index order, and no strategy beats the proven bound."""
    names = "contiguous,round_robin,local_search"
    code, text, notes = run("compare", CASE, "--strategies", names, "--format", "json")
    assert code == 0, notes
    rows = {row["strategy"]: row for row in json.loads(text)["rows"]}
    assert sorted(rows) == sorted(names.split(","))
    assert [row["rank"] for row in rows.values()] == [1, 2, 3]
    assert next(iter(rows)) == min(rows, key=lambda name: (rows[name]["cost_usd"], rows[name]["decode_step_s"]))
    assert {"strategy", "cost_usd", "balance_mean", "remote_share", "seconds", "gap"} <= set(rows["contiguous"])
    assert rows["local_search"]["cost_usd"] <= rows["contiguous"]["cost_usd"]
    assert all(row["gap"] >= 0 for row in rows.values())


def test_compare_side_by_side_gives_the_same_rows() -> None:
    """Two workers write the rows of one, but for the seconds."""
    names = ["compare", CASE, "--strategies", "contiguous,eplb,local_search", "--format", "json", "--quiet"]
    alone, both = (json.loads(run(*names, *extra)[1])["rows"] for extra in ([], ["--workers", "2"]))
    drop = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in both] == [
        {k: v for k, v in row.items() if k not in drop} for row in alone
    ]


def test_compare_counts_what_leaves_a_host_and_what_moves() -> None:
    """All eight GPUs of the island share a host: nothing leaves it; contiguous has moved nothing from itself."""
    rows = json.loads(run("compare", CASE, "--strategies", "contiguous,local_search", "--format", "json")[1])["rows"]
    for row in rows:
        assert (row["remote_share"], row["remote_token_share"], row["remote_sends_per_token"]) == (0.0, 0.0, 0.0)
        assert 0.0 <= row["moved_fraction"] <= 1.0
    assert next(row["moved_fraction"] for row in rows if row["strategy"] == "contiguous") == 0.0


def test_compare_refuses_an_unknown_strategy() -> None:
    """Exit code 2, with the names that exist."""
    code, _, notes = run("compare", CASE, "--strategies", "magic")
    assert code == 2
    assert "local_search" in notes


def test_sweep_solves_the_grid_and_tells_points_without_a_plan(workplace: Path) -> None:
    """Four points: doubling demand never costs less; a TPOT of 0.1 ms has no plan, and that is an answer."""
    code, text, notes = run("sweep", "two.toml", "--out", "table", "--format", "json")
    assert code == 0, notes
    document = json.loads(text)
    assert (document["points"], document["done"], document["failed"]) == (4, 4, 0)
    rows = [json.loads(line) for line in (workplace / document["rows_path"]).read_text().splitlines()]
    easy = [row for row in rows if row["point"]["demand.chat.tpot_s"] == "50 ms"]
    assert easy[0]["cost_usd"] <= easy[1]["cost_usd"]
    assert easy[0]["cost_usd"] == 4.0 * easy[0]["gpus_used"]
    assert all(row["status"] == "none" and row["reasons"] for row in rows if row not in easy)


def test_sweep_resumes_after_a_cut(workplace: Path) -> None:
    """A table with one whole and one cut line keeps the first, drops the second, and solves what is missing."""
    run("sweep", "two.toml", "--out", "table", "--quiet")
    table = workplace / "table" / "points.jsonl"
    whole = table.read_text()
    first, second = whole.splitlines()[:2]
    table.write_text(first + "\n" + second[:40])
    assert run("sweep", "two.toml", "--out", "table", "--quiet")[0] == 2
    code, _, notes = run("sweep", "two.toml", "--out", "table", "--resume")
    assert (code, notes.count("4 of 4")) == (0, 1)
    again = [json.loads(line) for line in table.read_text().splitlines()]
    assert [row["point"] for row in again] == [json.loads(line)["point"] for line in whole.splitlines()]
    assert json.loads(first) == again[0]


def test_sweep_in_two_processes_finds_the_same(workplace: Path) -> None:
    """Two workers write the same costs as one."""
    run("sweep", "two.toml", "--out", "one", "--quiet")
    code, _, notes = run("sweep", "two.toml", "--out", "both", "--workers", "2", "--quiet")
    assert code == 0, notes

    def costs(folder: str) -> dict[str, object]:
        lines = (workplace / folder / "points.jsonl").read_text().splitlines()
        return {json.dumps(json.loads(line)["point"]): json.loads(line)["cost_usd"] for line in lines}

    assert costs("one") == costs("both")


def test_resuming_a_table_of_another_sweep_is_refused(workplace: Path) -> None:
    """The same grid over another price is another sweep: its rows are no answers here. Nor is a line of garbage."""
    run("sweep", "two.toml", "--out", "table", "--quiet")
    (workplace / "two.toml").write_text(SWEEP.replace("4.0", "5.0"))
    table = workplace / "table" / "points.jsonl"
    before = table.read_text()
    code, _, notes = run("sweep", "two.toml", "--out", "table", "--resume")
    assert code == 2
    assert "line 1: was made from another case, settings or options" in notes
    assert table.read_text() == before
    table.write_text("[1]\n" + before)
    code, _, notes = run("sweep", "two.toml", "--out", "table", "--resume")
    assert (code, "line 1: is no row of a sweep" in notes) == (2, True)


@pytest.mark.parametrize("command", [["compare", CASE], ["sweep", "two.toml", "--out", "table"]])
def test_ctrl_c_inside_a_solve_ends_the_study(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A plan that Ctrl-C cut short is no result of a study: exit code 130, and no row of it is kept."""
    from planner.solver.result import StopReason
    from planner.studies import compare, plan_case, serving

    def cut(*arguments: object, **options: object) -> serving.ServingAnswer:
        answer = serving.solve_serving(*arguments, **options)  # type: ignore[arg-type]
        answer.stop_reason = StopReason.interrupted
        return answer

    monkeypatch.setattr(compare, "solve_serving", cut)
    monkeypatch.setattr(plan_case, "solve_serving", cut)
    assert run(*command)[0] == 130
    table = workplace / "table" / "points.jsonl"
    assert not table.exists() or table.read_text() == ""


def test_a_wrong_sweep_is_refused(workplace: Path) -> None:
    """No values for a key, and an unknown key: both told, exit code 2."""
    (workplace / "bad.toml").write_text(SWEEP.replace("[6, 12]", "[]").replace("title", "titel"))
    code, _, notes = run("sweep", "bad.toml")
    assert code == 2
    assert "titel" in notes


def test_compare_writes_a_page_or_refuses_before_it_solves(workplace: Path) -> None:
    """`--out` adds the page's path to the answer; a page that cannot be written is told before any solve."""
    names = ["compare", CASE, "--strategies", "contiguous,eplb", "--format", "json", "--quiet"]
    code, text, notes = run(*names, "--out", "compared.html")
    assert code == 0, notes
    assert json.loads(text)["path"] == "compared.html"
    assert "<title>Placement strategies compared</title>" in (workplace / "compared.html").read_text()
    code, text, notes = run(*names, "--out", str(workplace))
    assert (code, text) == (2, "")
    assert "is a folder" in notes
