"""What the README shows is what the program does."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from typer.testing import CliRunner

from planner.cli.app import app

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs() -> None:
    """Every prompt of the README prints what stands below it."""
    result = doctest.testfile(str(README), module_relative=False, encoding="utf-8")
    assert result.attempted >= 10
    assert result.failed == 0


def test_every_command_in_the_readme_exists() -> None:
    """Each `planner ...` of the README names a command that has a help page."""
    named = set(re.findall(r"`planner ([a-z]+)", README.read_text(encoding="utf-8")))
    assert {"solve", "check", "evaluate", "place", "compare", "sweep", "tokens"} <= named
    for command in named:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
