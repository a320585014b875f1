"""What every command owes a terminal: 80 columns, no colour where it is not wanted, help with an example."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from planner.cli import colour
from planner.cli.app import app
from planner.report.wrapping import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASE = "tiny_mixtral_island"
SWEEP = f"""
name = "four"
title = "Two rates and two prices of a case whose title is long enough to be broken on a terminal of 80 columns"
case = "{CASE}"
[grid]
"demand.chat.requests_per_s" = [6, 12]
"pools.h100.usd_per_gpu_hour" = [2.0, 3.0]
"""
HF = {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
    "torch_dtype": "bfloat16",
}
LAW = "--match-params 100e9 --match-tokens 200e12 --inference-tokens 259.2e12 --decode-penalty 3"
POINT = "--model deepseek-v3 --hardware h200 --engine sglang --tp 8 --concurrency 64 --isl 4096 --osl 1024"
COMMANDS = (
    f"check {CASE}",
    "check dsv3_2xnvl72",
    "check frontier_100b",
    f"evaluate {CASE} run/plan.json",
    f"compare {CASE} --strategies contiguous,eplb",
    "sweep four.toml",
    "sweep four.toml --plan-cluster 100x8 --usd-per-node-hour 24",
    f"tokens --law all {LAW}",
    f"tokens --law hoffmann {LAW}",
    f"estimate {POINT}",
    "claims C6",
    "claims C1 C2 C3",
    "place --loads loads.json --loads loads.json --gpus 4 --redundant 4 --gpus-per-node 2 --out placed",
    "export placed --to sglang",
    "import hf config.json --out model.toml",
    "import map placed/physical_to_logical_map.json --gpus 4",
    "import loads loads.json",
    "infer prices gemini-3.1-pro --precision fp8",
    "infer kv",
    "infer fastmode --price 6 --speed 2.5 --branch memory",
    *(f"list {kind}" for kind in ("models", "hardware", "strategies", "formulations", "cases", "sweeps", "laws")),
    *(f"list {kind}" for kind in ("families", "calibration", "prices")),
)


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - a group of click
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_has_json_quiet_and_an_example(path: tuple[str, ...]) -> None:
    """--format, --quiet, and a help page that shows the command in use."""
    options = {name for parameter in EVERY[path].params for name in parameter.opts}
    assert {"--format", "--quiet"} <= options
    assert f"Example: planner {' '.join(path)}" in " ".join((EVERY[path].help or "").split())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with small inputs of every command, and one solved case."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "four.toml").write_text(SWEEP)
    (folder / "config.json").write_text(json.dumps(HF))
    table = np.random.default_rng(0).integers(1, 100, (3, 8))
    (folder / "loads.json").write_text(json.dumps({"logical_count": table.tolist()}))
    return folder


def printed(workplace: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> str:
    """Return what a command prints; the run folder is there for the commands that need one."""
    monkeypatch.chdir(workplace)
    if "run/plan.json" in command and not (workplace / "run" / "plan.json").exists():
        printed(workplace, monkeypatch, f"solve {CASE} --out run")
    result = CliRunner().invoke(app, command.split(), env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.stderr
    return result.stdout


def assert_fits(text: str) -> None:
    """At most 80 columns, but for a path that is longer by itself; no codes of terminals."""
    assert "\x1b" not in text
    for line in text.splitlines():
        words = line.split()
        assert len(line) <= 80 or (len(words) == 1 and "/" in line), line


def test_solve_fits(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main answer, with all of its tables."""
    text = printed(workplace, monkeypatch, f"solve {CASE} --out solved")
    assert_fits(text)
    assert {"Deployments", "Pools", "Where the money goes"} <= set(text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_answer_fits(workplace: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """80 columns and no colour where stdout is no terminal."""
    if command.startswith("export") and not (workplace / "placed").exists():
        printed(workplace, monkeypatch, next(other for other in COMMANDS if other.startswith("place ")))
    if "--plan-cluster" in command and not (workplace / "outputs" / "sweep_four").exists():
        printed(workplace, monkeypatch, "sweep four.toml")
    if command == "sweep four.toml":
        command += " --resume"
    assert_fits(printed(workplace, monkeypatch, command))


def test_broken_lines_hang_below_their_text() -> None:
    """Labels and columns stay in view: what follows is set below the text, not below the label."""
    words = " ".join(["word"] * 20)
    first, second = fitted(f"name   {words}").split("\n")
    assert (first[:11], second[:11]) == ("name   word", "       word")
    assert fitted(f"  - {words}").split("\n")[1].startswith("    word")
    path = "/" + "x" * 100
    assert fitted(f"map: {path}").split("\n")[-1].strip() == path
    assert fitted("short\n\n  kept  as it   is") == "short\n\n  kept  as it   is"


@pytest.mark.parametrize(
    ("terminal", "settings", "shown"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, settings: dict[str, str], shown: bool
) -> None:
    """Status words only; NO_COLOR and a dumb terminal switch it off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    text = colour.coloured("status        optimal; stopped after 3 s\nan optimal word elsewhere")
    assert ("\x1b[32moptimal\x1b[0m" in text) is shown
    assert re.sub(r"\x1b\[\d+m", "", text) == "status        optimal; stopped after 3 s\nan optimal word elsewhere"
