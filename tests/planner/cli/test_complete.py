"""Tab completes names of cases, models, hardware and strategies, and costs nothing at the start."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from planner.cli import complete
from planner.instance import library
from planner.strategies import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path


def tab(words: str, folder: Path) -> list[str]:
    """Offers of bash after these words, the last of them unfinished."""
    settings = os.environ | {"_PLANNER_COMPLETE": "complete_bash", "COMP_WORDS": words}
    settings["COMP_CWORD"] = str(len(words.split()) - 1)
    # the program's own name tells typer which variable to read
    script = "import sys; sys.argv = ['planner']; from planner.cli.app import app; app(prog_name='planner')"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=settings, cwd=folder, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("planner solve dsv3", "cases"),
        ("planner sweep nvl72", "sweeps"),
        ("planner init --model deepseek", "models"),
        ("planner estimate --hardware h2", "hardware"),
    ],
)
def test_the_shell_offers_shipped_names(tmp_path: Path, words: str, kind: str) -> None:
    """All names that begin so, and no others."""
    start = words.split()[-1]
    assert tab(words, tmp_path) == [name for name in library.names(kind) if name.startswith(start)] != []


def test_strategies_are_those_of_the_registry() -> None:
    """Read from file names, and equal to what an import would say; in a list the last one is completed."""
    assert complete.strategies("") == sorted(STRATEGIES)
    assert complete.strategies("eplb,local") == ["eplb,local_search"]
    assert complete.strategies("eplb,epl") == []


def test_files_are_offered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML file here and folders, but nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    (tmp_path / "mine.txt").touch()
    (tmp_path / "more").mkdir()
    cases = complete.names_of("cases")
    assert cases("m") == ["mine.toml", "more/"]
    assert cases("./mi") == ["./mine.toml"]
    assert cases("more/x") == cases("nowhere/x") == []


def test_help_and_completion_start_in_half_a_second() -> None:
    """CPU seconds, which other work on the machine does not lengthen; completion imports no more than help."""
    for arguments, settings in (
        (["--help"], {}),
        ([], {"_PLANNER_COMPLETE": "complete_bash", "COMP_WORDS": "planner s"}),
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "planner", *arguments]
        subprocess.run(command, env=os.environ | {"COMP_CWORD": "1"} | settings, stdout=subprocess.DEVNULL, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_the_shell_script_is_shown() -> None:
    """--show-completion prints what --install-completion would write."""
    # the shell is told, not guessed from the parent process, which under make is no bash
    told = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "planner", "--show-completion", "bash"]
    shown = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert "complete" in shown.stdout, shown.stderr
