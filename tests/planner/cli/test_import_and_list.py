"""Claims about `planner import hf` and `planner list` as commands: outputs, exit codes, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.instance.loading import load_model

if TYPE_CHECKING:
    from pathlib import Path

LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
}
runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Llama-2-7B's config.json."""
    path = tmp_path / "Llama-2-7B_config.json"
    path.write_text(json.dumps(LLAMA_2_7B), encoding="utf-8")
    return path


def test_toml_on_stdout_is_a_model(config: Path, tmp_path: Path) -> None:
    """Without --out the TOML is the whole of stdout, and it loads."""
    result = runner.invoke(app, ["import", "hf", str(config)])
    assert result.exit_code == 0
    (tmp_path / "model.toml").write_text(result.stdout, encoding="utf-8")
    assert load_model(str(tmp_path / "model.toml")).total_params == 6_738_415_616


def test_json_keys(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has the contract's keys; the path is relative to the working folder, and the file is there."""
    monkeypatch.chdir(tmp_path)
    arguments = ["import", "hf", str(config), "--name", "mine", "--out", str(tmp_path / "m.toml"), "--format", "json"]
    result = runner.invoke(app, arguments)
    payload = json.loads(result.stdout)
    assert result.exit_code == 0
    assert payload["name"] == "mine"
    assert payload["path"] == "m.toml"
    assert (payload["total_params"], payload["active_params"]) == (6_738_415_616, 6_738_415_616)
    assert payload["kv_bytes_per_token"] == 524_288
    assert payload["weight_bytes"] == 2 * 6_738_415_616
    assert load_model("m.toml").name == "mine"


def test_a_refused_config_writes_nothing(config: Path, tmp_path: Path) -> None:
    """Exit 2, every problem on stderr, nothing on stdout and no file."""
    config.write_text(json.dumps(LLAMA_2_7B | {"vocab_size": None, "mlp_bias": True}), encoding="utf-8")
    result = runner.invoke(app, ["import", "hf", str(config), "--out", str(tmp_path / "m.toml")])
    assert result.exit_code == 2
    assert "vocab_size" in result.stderr
    assert "mlp_bias" in result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [config.name]


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    """No such file: exit 2 with its name."""
    result = runner.invoke(app, ["import", "hf", str(tmp_path / "nothing.json")])
    assert result.exit_code == 2
    assert "nothing.json" in result.stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("models", "deepseek-v3"),
        ("hardware", "gb200_nvl72"),
        ("strategies", "local_search"),
        ("formulations", "placement_exact"),
        ("formulations", "fleet"),
        ("cases", "dsv3_2xnvl72"),
        ("laws", "hoffmann"),
        ("prices", "rental_3yr"),
        ("price_tables", "gemini-3.1-pro"),
        ("memory_tiers", "host_x86_2026"),
    ],
)
def test_lists(kind: str, name: str) -> None:
    """Each kind lists what can be named, in text and as JSON."""
    as_json = json.loads(runner.invoke(app, ["list", kind, "--format", "json"]).stdout)
    assert name in as_json["names"]
    assert [entry["name"] for entry in as_json[kind]] == as_json["names"]
    lines = runner.invoke(app, ["list", kind]).stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == as_json["names"]


def test_an_unknown_kind_is_bad_input() -> None:
    """What cannot be listed is exit 2."""
    assert runner.invoke(app, ["list", "wishes"]).exit_code == 2


def test_importing_the_commands_loads_nothing_heavy() -> None:
    """Help starts fast because pint, pydantic, Pyomo and SciPy load inside commands only."""
    heavy = "pyomo, numba, scipy, plotly, pandas, pint, pydantic, highspy"
    script = (
        "import sys, planner.cli.import_, planner.cli.list_;"
        f"print([name for name in '{heavy}'.split(', ') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
