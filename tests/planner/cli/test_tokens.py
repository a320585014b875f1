"""`planner tokens` as a person or a script meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from click.testing import Result

FRONTIER = "--match-params 100e9 --match-tokens 200e12 --inference-tokens 259.2e12 --decode-penalty 3"


def run(arguments: str) -> Result:
    """Run `planner tokens`."""
    return CliRunner().invoke(app, ["tokens", *arguments.split()])


def test_json_keys_and_the_frontier_answer() -> None:
    """The contract's keys, with the known answer."""
    result = run(f"--law hoffmann {FRONTIER} --format json --quiet")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    keys = "params tokens rl_tokens loss cost_flop bound_flop gap overtraining_rule20 overtraining_law"
    assert set(keys.split()) <= set(answer)
    assert answer["law"] == "hoffmann"
    assert answer["params"] == pytest.approx(98.25e9, rel=5e-3)
    assert answer["serving_over_training"] == pytest.approx(1.246, rel=5e-3)
    assert answer["cost_usd"] is None
    assert answer["warnings"]


def test_stdout_is_one_document_in_a_process_of_its_own() -> None:
    """No solver banner before or after the document."""
    code = "from planner.cli.app import main; main()"
    command = [sys.executable, "-c", code, "tokens", "--law", "sardana", *FRONTIER.split(), "--format", "json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)["law"] == "sardana"
    assert finished.stderr == ""


def test_text_answer_names_law_bound_and_warnings() -> None:
    """People read the law, the plan, the bound and what is extrapolated."""
    result = run(f"--law hoffmann {FRONTIER}")
    assert result.exit_code == 0
    for part in ("law hoffmann", "98.251 G", "208.02 T", "105.9 x 20 N", "proven bound", "warning:"):
        assert part in result.stdout


def test_all_laws() -> None:
    """One entry a law, in JSON and in the table."""
    result = run(f"--law all {FRONTIER} --format json")
    names = [entry["law"] for entry in json.loads(result.stdout)["laws"]]
    assert {"hoffmann", "hoffmann_tex", "sardana", "besiroglu"} <= set(names)
    text = run(f"--law all {FRONTIER}").stdout
    assert all(name in text for name in names)


def test_all_laws_with_one_below_its_floor() -> None:
    """The law without a plan gives its reason; the others their answers."""
    result = run("--law all --loss 1.75 --inference-tokens 1e13 --format json")
    assert result.exit_code == 0
    entries = {entry["law"]: entry for entry in json.loads(result.stdout)["laws"]}
    assert entries["besiroglu"]["status"] == "none"
    assert entries["sardana"]["params"] > 0
    assert "no plan" in run("--law all --loss 1.75 --inference-tokens 1e13").stdout


def test_a_loss_below_the_floor_exits_1_with_the_floor() -> None:
    """Infeasible is an answer: exit 1, the reasons on stderr and in the document."""
    result = run("--law hoffmann --loss 1.6 --inference-tokens 1e12 --format json")
    assert result.exit_code == 1
    assert "1.69" in json.loads(result.stdout)["reasons"][0]
    assert "Traceback" not in result.stderr


def test_bad_combinations_exit_2_with_every_problem() -> None:
    """All problems at once, no traceback."""
    result = run("--law hoffmann --loss 2 --match-params 1e9 --inference-tokens -1 --rl-tokens 1 --rl-ratio 1")
    assert result.exit_code == 2
    for flag in ("--inference-tokens", "--loss and --match-params given", "--rl-ratio"):
        assert flag in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_law_exits_2_with_the_known_names() -> None:
    """The message lists the shipped laws."""
    result = run("--law kaplan --loss 2 --inference-tokens 0")
    assert result.exit_code == 2
    assert "hoffmann_tex" in result.stderr


def test_no_demand_is_compute_optimal() -> None:
    """T = 0: the compute optimum of Besiroglu at 1e24 FLOP, 9.58607e10 parameters."""
    result = run("--law besiroglu --budget-flop 1e24 --inference-tokens 0 --format json")
    answer = json.loads(result.stdout)
    assert answer["params"] == pytest.approx(9.58607e10, rel=1e-5)
    assert answer["overtraining_law"] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--match-params", "1e300"), ("--match-params", "1e-300"), ("--budget-flop", "1e-300"), ("--loss", "1e300")],
)
def test_numbers_whose_powers_leave_the_range_of_a_float(flag: str, value: str) -> None:
    """No run has 1e300 parameters: refused with the range, not an overflow."""
    arguments = ["tokens", "--law", "hoffmann", "--inference-tokens", "1e300", flag, value]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.count("must lie between") == 2
