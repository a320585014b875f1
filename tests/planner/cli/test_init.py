"""`planner init` writes a case that solves; `planner doctor` knows a healthy installation."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import InstanceError
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.studies import doctor
from planner.studies.draft import DraftQuestion, draft_case

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = ["--model", "mixtral-8x7b", "--hardware", "h100", "--gpus", "8", "--requests-per-s", "2"]
LENGTHS = ["--input-tokens", "1024", "--output-tokens", "256", "--ttft", "2 s", "--tpot", "50 ms"]


def test_a_written_case_is_the_question(tmp_path: Path) -> None:
    """What was asked for is in the case: 8 GPUs of one island, 2 requests/s, 50 ms; and comments say what it means."""
    out = tmp_path / "chat.toml"
    run = CliRunner().invoke(app, ["init", *FLAGS, *LENGTHS, "--out", str(out), "--format", "json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["case"]["name"] == "chat"
    instance = load_case(out)
    assert isinstance(instance, Instance)
    assert (instance.pools[0].gpus, instance.demand[0].requests_per_s, instance.demand[0].tpot_s) == (8, 2.0, 0.05)
    assert out.read_text().count("#") > 10


def test_a_written_case_solves(tmp_path: Path) -> None:
    """Eight H100 serve two requests/s of Mixtral; the plan is certified."""
    out = tmp_path / "chat.toml"
    CliRunner().invoke(app, ["init", *FLAGS, *LENGTHS, "--out", str(out)])
    run = CliRunner().invoke(app, ["solve", str(out), "--out", str(tmp_path / "run"), "--quiet", "--format", "json"])
    answer = json.loads(run.stdout)
    assert answer["status"] == "optimal"
    assert answer["bound_usd"] <= answer["cost_usd"] * (1 + 1e-9)


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """Without a terminal nothing is asked: every missing flag is told, nothing is written."""
    out = tmp_path / "chat.toml"
    run = CliRunner().invoke(app, ["init", "--model", "mixtral-8x7b", "--out", str(out)])
    assert run.exit_code == 2
    assert all(flag in run.stderr for flag in ("--hardware", "--requests-per-s", "--input-tokens", "--output-tokens"))
    assert not out.exists()


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    """An existing file is refused and stays as it is."""
    out = tmp_path / "chat.toml"
    out.write_text("mine")
    assert CliRunner().invoke(app, ["init", *FLAGS, *LENGTHS, "--out", str(out)]).exit_code == 2
    assert out.read_text() == "mine"


def test_wrong_numbers_are_told_together(tmp_path: Path) -> None:
    """A time in GPUs and a rate of no requests: two problems, one error."""
    flags = [*FLAGS[:-1], "0", *LENGTHS[:-1], "50 GPUs", "--out", str(tmp_path / "chat.toml")]
    run = CliRunner().invoke(app, ["init", *flags])
    assert run.exit_code == 2
    assert "--requests-per-s" in run.stderr
    assert "--tpot" in run.stderr


def test_a_name_and_a_number_that_are_wrong_are_told_together(tmp_path: Path) -> None:
    """A model that is not shipped does not hide the length that is no number of tokens, nor the other way round."""
    flags = ["--model", "nosuch", *FLAGS[2:-1], "-1", *LENGTHS, "--out", str(tmp_path / "chat.toml")]
    run = CliRunner().invoke(app, ["init", *flags])
    assert run.exit_code == 2
    assert "--model" in run.stderr
    assert "--requests-per-s" in run.stderr


def answered(out: Path, answers: list[bytes | None]) -> tuple[int, str]:
    """Exit code and screen of `planner init` on a pseudo-terminal on which somebody types; None is Ctrl-C."""
    screen, terminal = pty.openpty()
    words = [sys.executable, "-m", "planner", "init", "--out", str(out)]
    child = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux ends a pseudo-terminal that nobody holds
        while select.select([screen], [], [], 60)[0] and (part := os.read(screen, 4096)):
            shown += part
            if not shown.rstrip().endswith(b"]:") or not answers:
                continue
            if (answer := answers.pop(0)) is None:
                child.send_signal(signal.SIGINT)
            else:
                os.write(screen, answer)
    os.close(screen)
    return child.wait(60), shown.decode()


def test_a_terminal_is_asked_until_the_answer_is_of_use(tmp_path: Path) -> None:
    """A model that is not shipped and a rate that is no number are asked again; empty lines take what is offered."""
    out = tmp_path / "case.toml"
    typed: list[bytes | None] = [b"nosuch\n", b"mixtral-8x7b\n", b"h100\n", b"fast\n", b"3\n", b"1000\n", b"\n"]
    code, shown = answered(out, typed)
    assert code == 0, shown
    assert shown.count("Model (planner list models)") == 2
    assert shown.count("Requests a second") == 2
    instance = load_case(out)
    assert isinstance(instance, Instance)
    asked = instance.demand[0]
    assert (asked.requests_per_s, asked.input_tokens, asked.output_tokens) == (3.0, 1000, 512)


def test_ctrl_c_while_asked_is_an_interruption(tmp_path: Path) -> None:
    """Exit code 130 as everywhere, and no file."""
    code, _ = answered(tmp_path / "case.toml", [b"mixtral-8x7b\n", None])
    assert code == 130
    assert not (tmp_path / "case.toml").exists()


def test_a_gpu_without_a_price_asks_for_one() -> None:
    """No shipped price: the remedy is the flag that gives one, and with it the draft is written."""
    question = {"model": "mixtral-8x7b", "hardware": "rubin", "requests_per_s": 1.0, "input_tokens": 10}
    with pytest.raises(InstanceError, match="--usd-per-gpu-hour"):
        draft_case(DraftQuestion(**question, output_tokens=10))  # type: ignore[arg-type]
    draft = draft_case(DraftQuestion(**question, output_tokens=10, usd_per_gpu_hour=9.0))  # type: ignore[arg-type]
    assert draft.data["pools"][0]["usd_per_gpu_hour"] == 9.0  # type: ignore[index]


def test_names_with_quotes_stay_text() -> None:
    """A name that would end the string is escaped."""
    question = DraftQuestion("mixtral-8x7b", "h100", 1.0, 10, 10, name='a" \n[pools]')
    assert draft_case(question).data["name"] == 'a" \n[pools]'


def test_doctor_finds_this_installation_well() -> None:
    """Packages, data, solver and search are well here, and the solver reproduces a known optimum."""
    report = doctor.examine()
    assert report["well"], report
    assert any("12.00" in check["found"] for check in report["checks"])


def test_doctor_sees_a_wrong_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the known case cost something else, the installation would not be well: exit code 3."""
    monkeypatch.setattr(doctor, "KNOWN_USD", 13.0)
    run = CliRunner().invoke(app, ["doctor"])
    assert run.exit_code == 3
    assert "FAIL  solver" in run.stdout
