"""`planner infer`: prices from files good and bad, KV bytes from a price step, batches from a fast mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from planner.cli.app import app

API_PRICES = Path(__file__).parents[4] / "shared" / "data" / "api_prices.csv"
HEADER = "model,tier,context_band,input_usd_per_mtok,output_usd_per_mtok,cache_read_usd_per_mtok,speed_note\n"
STEPPED = "m,standard,all,2,12,,\nm,standard,>200k input,4,18,,\n"


def run(*arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON document or None, stderr."""
    result = CliRunner().invoke(app, ["infer", *arguments, "--format", "json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout else None, result.stderr


def test_kv_from_a_price_step() -> None:
    """100e9 parameters, rho 300, 200k tokens: 1,666.7 B a token; ten times the size, ten times the bytes (C19)."""
    kv = run("kv")[1]["kv_bytes_per_token"]
    assert kv["least"] == kv["greatest"] == pytest.approx(1666.7, rel=1e-3)
    kv = run("kv", "--params", "10e9:1e12", "--rho", "300:568")[1]["kv_bytes_per_token"]
    assert kv["least"] == pytest.approx(1666.7 / 10 * 300 / 568, rel=1e-3)
    assert kv["greatest"] == pytest.approx(16667, rel=1e-3)
    assert run("kv", "--batch", "2.5")[1]["kv_bytes_per_token"]["least"] == pytest.approx(1000, rel=1e-3)


def test_fast_mode_menu() -> None:
    """S = 2.8 and five points within 0.01 in the memory branch; b = 2.5 and 1/6 without KV reading (C6, C7)."""
    menu = {row["price_ratio"]: row["speed_ratio"] for row in _fast("memory")["menu"]}
    assert _fast("memory")["fastest"] == pytest.approx(2.8, abs=1e-9)
    for price, speed in ((2, 1.9), (3, 2.2), (6, 2.5), (15, 2.68), (100, 2.78)):
        assert menu[price] == pytest.approx(speed, abs=0.01)
    compute = _fast("compute")
    assert (compute["standard_batch"], compute["batch_ratio"]) == (pytest.approx(2.5, abs=1e-3), pytest.approx(15))
    assert compute["fast_batch"] == pytest.approx(1 / 6, abs=1e-3)
    assert all(row["speed_ratio"] == pytest.approx(2.5) for row in compute["menu"])


def _fast(branch: str) -> Any:  # noqa: ANN401 - a JSON document
    return run("fastmode", "--price", "6", "--speed", "2.5", "--branch", branch)[1]


@pytest.mark.parametrize(("share", "batch"), [(0.1, 2.54), (0.25, 2.61), (0.5, 2.73)])
def test_fast_mode_with_kv_reading(share: float, batch: float) -> None:
    """The dossier's three values of b_std at lambda (C6)."""
    found = run("fastmode", "--price", "6", "--speed", "2.5", "--lambda", str(share))[1]
    assert found["standard_batch"] == pytest.approx(batch, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fastmode", "--price", "6", "--speed", "2.5", "--lambda", "0.9"], "bound by memory"),
        (["fastmode", "--price", "6", "--speed", "2.5", "--branch", "luck"], "compute or memory"),
        (["fastmode", "--price", "6", "--speed", "2.5", "--branch", "memory", "--lambda", "0.5"], "arithmetic binds"),
        (["fastmode", "--price", "inf", "--speed", "2"], "no ratios"),
        (["kv", "--threshold", "inf"], "too large"),
        (["kv", "--params", "1e308", "--rho", "1e-300"], "too large"),
        (["kv", "--batch", "0.5"], "not above 1"),
        (["kv", "--params", "many"], "LOW:HIGH"),
        (["prices", "no_such_table"], "gemini-3.1-pro"),
        (["prices", "gemini-3.1-pro", "--precision", "fp3"], "fp3"),
        (["prices", "gemini-3.1-pro", "--clues", "context_step,luck"], "no clue 'luck'"),
        (["prices", "gemini-3.1-pro", "--model", "another"], "a table of one model"),
        (["prices", "gemini-3.1-pro", "--hardware", "no_such_gpu"], "no_such_gpu"),
    ],
)
def test_wrong_questions_are_told(arguments: list[str], told: str) -> None:
    """Exit code 2 and what would be right."""
    code, _, notes = run(*arguments)
    assert (code, told in notes) == (2, True), notes


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("m,standard,all,-2,12,,\n", "line 2: input_usd_per_mtok"),
        ("m,standard,all,2,twelve,,\n", "'twelve' is no number"),
        ("m,standard,all,2,nan,,\n", "output_usd_per_mtok"),
        ("m,standard,all,2,12,,\nm,standard,all,3,12,,\n", "line 3: input_usd_per_mtok: differs from line 2"),
        ("m,standard,all,2,12,5,\n", "cached_input_usd_per_mtok exceeds"),
        ("m,batch,all,2,12,,\n", "no standard tier"),
        ("m,standard,all,2,12,,\nn,standard,all,2,12,,\n", "2 models"),
        ("m,standard,all,2,12,,\nm,standard,<=200k input,3,12,,\n", "line 3: input_usd_per_mtok: differs from line 2"),
        (f"{STEPPED}m,standard,>200k input,5,18,,\n", "line 4: input_usd_per_mtok: differs from line 3"),
        (f"{STEPPED}m,standard,>272k input,4,18,,\n", "line 4: context_band: differs from line 3"),
        (f"{STEPPED}m,standard,beyond 200k,4,18,,\n", "line 4: context_band: 'beyond 200k' is no band"),
        ("", "has no row"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, body: str, told: str) -> None:
    """Negative, unreadable, contradictory or missing prices: the line and the column are named."""
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + body)
    code, _, notes = run("prices", str(path))
    assert (code, told in notes) == (2, True), notes


def test_missing_columns_are_named(tmp_path: Path) -> None:
    """Each missing column is told."""
    path = tmp_path / "prices.csv"
    path.write_text("model,tier\nm,standard\n")
    code, _, notes = run("prices", str(path))
    assert code == 2
    assert all(name in notes for name in ("context_band", "input_usd_per_mtok", "output_usd_per_mtok"))


def test_unknown_units_are_refused(tmp_path: Path) -> None:
    """A price in euros is not taken for dollars; dollars a token are converted."""
    from planner.instance import library

    text = library.find("prices/api", "gemini-3.1-pro").read_text()
    path = tmp_path / "euros.toml"
    path.write_text(text.replace("input_usd_per_mtok = 2.00", 'input_usd_per_mtok = "2 EUR/Mtoken"', 1))
    code, _, notes = run("prices", str(path))
    assert (code, "usd/megatoken" in notes) == (2, True), notes


def test_the_machine_of_a_table_can_be_replaced() -> None:
    """On H100 (80 GB at 3.35 TB/s: 23.9 ms) storage says another L* than on the B200 of the table (24 ms)."""
    own = run("prices", "gemini-3.1-pro", "--clues", "storage_price,input_price")[1]["combinations"]
    other = run("prices", "gemini-3.1-pro", "--clues", "storage_price,input_price", "--hardware", "h100")[1]
    name = "crossover_tokens_at_full_mfu"
    assert own[name] / other["combinations"][name] == pytest.approx(80e9 / 3.35e12 / 0.024, rel=1e-3)


def test_a_tier_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """Storage on tape: the tiers there are are named."""
    from planner.instance import library

    path = tmp_path / "tape.toml"
    text = library.find("prices/api", "gemini-3.1-pro").read_text()
    path.write_text(text.replace('storage_tier = "hbm"', 'storage_tier = "tape"'))
    code, _, notes = run("prices", str(path))
    assert (code, "'tape'" in notes, "hbm, ddr" in notes) == (2, True, True), notes


def test_fast_mode_batches_where_memory_binds() -> None:
    """S = 2.8: lambda b is 1.8 for the standard and 0.12 for the fast tier, so 1.8 and 0.12 at lambda 1 (C6)."""
    found = run("fastmode", "--price", "6", "--speed", "2.5", "--branch", "memory", "--lambda", "1")[1]
    assert (found["standard_batch"], found["fast_batch"]) == (pytest.approx(1.8), pytest.approx(0.12))


@pytest.mark.shared_data
@pytest.mark.skipif(not API_PRICES.is_file(), reason="the shared prices are not here")
def test_a_model_of_the_price_list() -> None:
    """Gemini 2.5 Pro from 250 rows: storage at 4.50 and the step at 200k are found; L* is 42k tokens at full MFU."""
    code, answer, notes = run(
        "prices", str(API_PRICES), "--model", "gemini-2.5-pro", "--precision", "fp8", "--large-batch"
    )
    assert code == 0, notes
    assert answer["clues"]["context_step"] == 200000
    assert answer["combinations"]["crossover_tokens_at_full_mfu"] == pytest.approx(41667, rel=1e-3)
    assert any(set(entry["clues"]) >= {"context_step", "storage_price"} for entry in answer["conflicts"])
