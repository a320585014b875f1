"""`planner report`: pages of finished runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from life_samples import life_documents
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run_folder(payload: dict[str, Any], plan: dict[str, Any], tmp_path: Path) -> Path:
    """Folder that holds what a solve writes, but the page."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"case": "two_racks", "result": payload}))
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def test_page_is_rebuilt(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder gives one path, relative to the working directory."""
    monkeypatch.chdir(run_folder.parent)
    result = CliRunner().invoke(app, ["report", str(run_folder), "--format", "json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"path": "run/report.html"}
    assert "A large model on two racks" in (run_folder / "report.html").read_text(encoding="utf-8")


def test_every_problem_is_listed_and_nothing_is_written(run_folder: Path, tmp_path: Path) -> None:
    """A good folder beside a missing one and one that holds no run: exit 2, both named, no page."""
    (tmp_path / "empty").mkdir()
    wrong = [str(tmp_path / "nowhere"), str(tmp_path / "empty")]
    result = CliRunner().invoke(app, ["report", str(run_folder), *wrong, "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 2
    assert "nowhere: cannot be read" in result.stderr
    assert "empty: holds no run" in result.stderr
    assert not (tmp_path / "page.html").exists()
    assert not (run_folder / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not JSON"),
        ("[]", "result: is missing"),
        ('{"result": {"case": "x"}}', "result.demand: is missing"),
    ],
)
def test_a_wrong_manifest_is_refused(run_folder: Path, text: str, word: str) -> None:
    """Exit 2 with what is wrong and no traceback."""
    (run_folder / "manifest.json").write_text(text)
    result = CliRunner().invoke(app, ["report", str(run_folder)])
    assert result.exit_code == 2
    assert word in result.stderr


def test_a_result_of_another_shape_is_refused(run_folder: Path, payload: dict[str, Any]) -> None:
    """A key with the wrong kind of value is bad input, not a crash."""
    (run_folder / "manifest.json").write_text(json.dumps({"result": payload | {"decisions": {"pools": 3}}}))
    result = CliRunner().invoke(app, ["report", str(run_folder)])
    assert result.exit_code == 2
    assert "not a result of this version" in result.stderr


def test_the_page_of_a_lifecycle_is_rebuilt(tmp_path: Path) -> None:
    """A run that chose its model gives the same page again, and is refused where a part of the choice is missing."""
    payload, plan = life_documents()
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "manifest.json").write_text(json.dumps({"result": payload}))
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert "What is trained, and why" in (tmp_path / "report.html").read_text(encoding="utf-8")
    payload["decisions"]["training"]["member"] = "unheard of"
    (tmp_path / "manifest.json").write_text(json.dumps({"result": payload}))
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "not a result of this version" in result.stderr
