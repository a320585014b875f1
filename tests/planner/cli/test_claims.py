"""`planner claims` and `planner list claims` as commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.studies.claims.ledger import CLAIMS

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = {"id", "statement", "printed", "computed", "unit", "tolerance", "verdict", "why"}
runner = CliRunner()


def test_json_holds_the_keys_of_the_contract() -> None:
    """One document on stdout, with the keys that others rely on; an exhibit where there is no number."""
    result = runner.invoke(app, ["claims", "C26", "C32", "--format", "json", "--quiet"])
    assert result.exit_code == 0
    number, exhibit = json.loads(result.stdout)["claims"]
    assert set(number) >= CONTRACT
    assert (number["verdict"], number["computed"]) == ("ROUNDED", pytest.approx(259.2e12))
    assert (exhibit["verdict"], exhibit["computed"], exhibit["exhibit"]) == ("QUALITATIVE", None, "reversible")


def test_report_writes_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--report --out writes that file, whole, and JSON names it relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(
        app, ["claims", "C26", "--report", "--out", "pages/mine.html", "--format", "json", "--quiet"]
    )
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["path"] == "pages/mine.html"
    assert [entry["id"] for entry in document["claims"]] == ["C26"]
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["mine.html"]
    assert (tmp_path / "pages" / "mine.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_a_name_the_page_goes_to_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text ends with the path of the page."""
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["claims", "C26", "--report", "--quiet"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "outputs/claims.html"
    assert (tmp_path / "outputs" / "claims.html").is_file()


def test_a_file_without_report_is_refused(tmp_path: Path) -> None:
    """--out alone, or a folder as --out, is bad input: exit 2 before anything is computed."""
    alone = runner.invoke(app, ["claims", "--out", str(tmp_path / "page.html")])
    folder = runner.invoke(app, ["claims", "--report", "--out", str(tmp_path)])
    assert (alone.exit_code, folder.exit_code) == (2, 2)
    assert "--report" in alone.stderr
    assert "folder" in folder.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_changed_input_changes_the_answer() -> None:
    """Half the days serve half the tokens, 129.6 T: no longer about 200 T."""
    result = runner.invoke(app, ["claims", "C26", "--set", "days=30", "--format", "json", "--quiet"])
    (entry,) = json.loads(result.stdout)["claims"]
    assert (entry["computed"], entry["verdict"]) == (pytest.approx(129.6e12), "SLIP")


def test_claims_are_listed() -> None:
    """`planner list claims` gives every claim with its statement."""
    result = runner.invoke(app, ["list", "claims", "--format", "json"])
    listed = json.loads(result.stdout)
    assert listed["names"] == list(CLAIMS)
    assert listed["claims"][0] == {"name": "C1", "title": CLAIMS["C1"].statement}
