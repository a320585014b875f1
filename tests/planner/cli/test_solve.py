"""`planner solve`, `check` and `evaluate` as a user meets them: documents, files, exit codes, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import NoPlanFound, SolverError
from planner.instance.library import instances_root

if TYPE_CHECKING:
    from pathlib import Path

CASE = "tiny_mixtral_island"
KEYS = {
    "status",
    "stop_reason",
    "cost_usd",
    "bound_usd",
    "gap",
    "evaluator_relative_difference",
    "decisions",
    "breakdown_usd",
    "binding",
    "seconds",
    "run_dir",
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One solved case: its document and its run folder."""
    out = tmp_path_factory.mktemp("solved") / "run"
    code, text, notes = run("solve", CASE, "--out", str(out), "--format", "json", "--write-model", str(out) + ".mps")
    assert code == 0, notes
    return json.loads(text), out


def test_the_document_holds_the_agreed_keys(solved: tuple[dict[str, Any], Path]) -> None:
    """Keys that others rely on, a gap that follows from cost and bound, and the judge's agreement."""
    document, _ = solved
    assert set(document) >= KEYS
    assert document["status"] == "optimal"
    assert document["gap"] == pytest.approx((document["cost_usd"] - document["bound_usd"]) / document["cost_usd"])
    assert 0 <= document["evaluator_relative_difference"] <= 1e-6
    assert sum(document["breakdown_usd"].values()) == pytest.approx(document["cost_usd"])


def test_the_run_folder_appears_whole(solved: tuple[dict[str, Any], Path]) -> None:
    """Exactly the four files, and nothing half-written beside the folder."""
    document, folder = solved
    assert sorted(path.name for path in folder.iterdir()) == [
        *("manifest.json", "plan.json", "report.html", "views.json")
    ]
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["case"] == CASE
    assert manifest["result"]["cost_usd"] == document["cost_usd"]


def test_evaluate_prices_the_plan_alike(solved: tuple[dict[str, Any], Path]) -> None:
    """The judge finds the plan feasible at the same cost."""
    document, folder = solved
    code, text, _ = run("evaluate", CASE, str(folder / "plan.json"), "--format", "json")
    assert code == 0
    assert json.loads(text)["feasible"] is True
    assert json.loads(text)["cost_usd"] == pytest.approx(document["cost_usd"])


def test_evaluate_refuses_the_plan_under_more_demand(solved: tuple[dict[str, Any], Path]) -> None:
    """Ten times the requests break the plan: exit code 1, with what is not served."""
    _, folder = solved
    plan = str(folder / "plan.json")
    code, text, _ = run("evaluate", CASE, plan, "--set", "demand.chat.requests_per_s=60", "--format", "json")
    assert code == 1
    assert any("chat" in violation for violation in json.loads(text)["violations"])


def test_the_written_program_has_the_same_optimum(solved: tuple[dict[str, Any], Path]) -> None:
    """HiGHS on the written .mps finds the certified bound."""
    import highspy

    document, folder = solved
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(f"{folder}.mps") == highspy.HighsStatus.kOk
    highs.run()
    assert highs.getInfo().objective_function_value == pytest.approx(document["bound_usd"], rel=1e-3)


def test_an_existing_folder_is_refused_before_any_work(workplace: Path) -> None:
    """--out must not exist; exit code 2 and the folder is left alone."""
    (workplace / "there").mkdir()
    code, _, notes = run("solve", CASE, "--out", "there")
    assert code == 2
    assert "exists already" in notes
    assert list((workplace / "there").iterdir()) == []


def test_outputs_that_cannot_be_written_are_told_before_any_work(workplace: Path) -> None:
    """A folder below a file, a name that is too long and an unknown format of the model: all at once, at the start."""
    (workplace / "file").write_text("kept")
    began = time.perf_counter()
    code, _, notes = run("solve", CASE, "--out", "file/run", "--write-model", "model.txt")
    assert code == 2
    assert "--out: cannot be made" in notes
    assert "--write-model: unknown format" in notes
    assert run("solve", CASE, "--out", 300 * "n")[0] == 2
    assert run("solve", CASE, "--write-model", "file/model.lp")[0] == 2
    assert time.perf_counter() - began < 2.0
    assert [path.name for path in workplace.iterdir()] == ["file"]


def test_two_runs_of_one_second_get_two_folders(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another run takes the folder's name while this one writes, this one takes the next."""
    from planner.studies import api

    solved = api.solve_case(CASE)
    first, names = workplace / "outputs" / "run", iter(["run", "run", "run_2"])
    monkeypatch.setattr(api, "run_folder", lambda *_: workplace / "outputs" / next(names))
    solved.write()
    assert solved.write()["run_dir"] == "outputs/run_2"
    assert (first / "plan.json").read_bytes() == (workplace / "outputs" / "run_2" / "plan.json").read_bytes()


@pytest.mark.parametrize("fault", [NoPlanFound(["none"]), SolverError("broken"), KeyboardInterrupt()])
def test_a_failed_question_costs_no_plan(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    """What one more unit saves is asked after the plan is found; where that fails the plan is written all the same."""
    from planner.studies import api

    given: list[float] = []

    def fail(_: object, *, seconds: float, strict: bool) -> None:
        assert strict
        given.append(seconds)
        raise fault

    monkeypatch.setattr(api, "savings", fail)
    code, text, _ = run("solve", CASE, "--format", "json", "--time-limit", "7")
    assert code == (130 if isinstance(fault, KeyboardInterrupt) else 0)
    assert (workplace / json.loads(text)["run_dir"] / "plan.json").exists()
    assert len(given) == 1
    assert 0 <= given[0] < 7.0


def test_a_reader_that_stops_reading_is_no_fault(workplace: Path) -> None:
    """`planner list hardware | head -1` ends without a word on stderr."""
    command = f"{sys.executable} -c 'from planner.cli.app import main; main()' list hardware | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--threads", "100000"], 2, "threads"),
        (["--set", "demand.chat.requests_per_s=-1"], 2, "demand.0.requests_per_s"),
        (["--set", "demand.chat.tpot_s=5 GB"], 2, "not a quantity in second"),
        (["--set", "colour=blue"], 2, "colour"),
        (["--set", "nonsense"], 2, "key=value"),
        (["--set", "pools.h100.hardware=abacus"], 2, "no such"),
        (["--set", "model=nobody"], 2, "no such file in models"),
        (["--set", "pools.h100.override={hbm_bytes='8 GB'}"], 1, "memory"),
        (["--set", "demand.chat.tpot_s=0.0001"], 1, "tpot_s"),
        (["--set", "demand.chat.requests_per_s=100000"], 1, "not enough"),
        (["--loads", "missing.json"], 2, "missing.json"),
    ],
)
def test_wrong_input_is_told_and_nothing_is_written(
    workplace: Path, arguments: list[str], code: int, told: str
) -> None:
    """Bad input exits with 2, an infeasible case with 1; both say why and leave no file."""
    found, text, notes = run("solve", CASE, *arguments)
    assert (found, told in notes) == (code, True), notes
    assert text == ""
    assert "Traceback" not in notes
    assert list(workplace.iterdir()) == []


def test_every_problem_is_told_at_once() -> None:
    """Three faults in one call give three lines."""
    faults = ["demand.chat.requests_per_s=-1", "search.extra_slots_per_gpu=[-2]", "colour=blue"]
    code, _, notes = run("solve", CASE, *[part for fault in faults for part in ("--set", fault)])
    assert code == 2
    assert all(word in notes for word in ("requests_per_s", "extra_slots_per_gpu", "colour"))


def test_infeasible_json_is_one_document_with_reasons() -> None:
    """With --format json an infeasible case prints a document with status none."""
    code, text, _ = run("solve", CASE, "--set", "demand.chat.tpot_s=0.0001", "--format", "json")
    assert code == 1
    document = json.loads(text)
    assert document["status"] == "none"
    assert document["reasons"]


def test_top_k_above_the_experts_is_bad_input(workplace: Path) -> None:
    """A model whose top-k exceeds its experts is refused by name of the key."""
    shipped = (instances_root() / "models" / "mixtral-8x7b.toml").read_text()
    assert "experts_per_token = 2" in shipped
    (workplace / "odd.toml").write_text(shipped.replace("experts_per_token = 2", "experts_per_token = 9"))
    code, _, notes = run("solve", CASE, "--set", "model=odd.toml")
    assert code == 2
    assert "experts_per_token 9 > routed_experts 8" in notes


def test_check_prints_the_normal_form() -> None:
    """rho, sigma, B*, L* and chi of the case; DeepSeek-V3 on GB200: chi 19.96, rho 312.5, crossover 1,685."""
    code, text, _ = run("check", "dsv3_2xnvl72", "--format", "json")
    document = json.loads(text)
    assert code == 0
    assert document["rho"] == pytest.approx(312.5)
    assert document["chi"] == pytest.approx(19.96, abs=5e-3)
    assert document["crossover_context"] == pytest.approx(1685, abs=0.5)
    assert document["balance_batch"] == pytest.approx(document["rho"] * document["sigma"])


def test_a_terminal_of_few_letters() -> None:
    """Where stdout knows ASCII only, the table comes with marks instead of its rules."""
    command = [sys.executable, "-c", "from planner.cli.app import main; main()", "check", CASE]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("case", ["dsv3_2xnvl72", "dsv3_h800_day", "frontier_100b", "dsv3_successor", CASE])
def test_check_accepts_every_shipped_case(case: str) -> None:
    """Shipped cases have no problem."""
    assert run("check", case)[0] == 0


def test_interrupt_leaves_a_message_and_code_130(workplace: Path) -> None:
    """Ctrl-C early in the work ends with 130 and leaves no half-written folder, or with a written plan."""
    command = [sys.executable, "-c", "from planner.cli.app import main; main()", "solve", "dsv3_2xnvl72", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=workplace)
    time.sleep(2.5)
    os.kill(process.pid, signal.SIGINT)
    _, notes = process.communicate(timeout=60)
    assert process.returncode == 130, notes
    assert "Traceback" not in notes
    outputs = workplace / "outputs"
    folders = list(outputs.iterdir()) if outputs.exists() else []
    assert all((folder / "plan.json").exists() for folder in folders)


def test_help_starts_fast() -> None:
    """`planner --help` imports nothing heavy: no Pyomo, HiGHS, SciPy or numba."""
    probe = (
        "import sys; from planner.cli.app import app; "
        "heavy = {'pyomo', 'highspy', 'scipy', 'numba', 'plotly', 'numpy', 'pint', 'pydantic'} & set(sys.modules); "
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
