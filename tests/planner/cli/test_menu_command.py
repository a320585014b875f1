"""`planner menu`: shipped cases, the valley's fleets, 80 columns, and every fault of a wrong file at once."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.instance import library

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = library.names("menus")
NO_WORTH = ("talk_large_batch", "margin")  # its requests have no reservation prices


def run(*arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON document or None, stderr."""
    result = CliRunner().invoke(app, ["menu", *arguments, "--format", "json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout else None, result.stderr


@pytest.fixture(scope="module")
def talk() -> Any:  # noqa: ANN401 - a JSON document
    """Menu of the talk's model."""
    code, answer, notes = run("talk_100b")
    assert code == 0, notes
    return answer


@pytest.mark.parametrize(
    ("name", "aim"),
    [(name, aim) for name in SHIPPED for aim in ("distortion", "mean", "margin") if (name, aim) != NO_WORTH],
)
def test_shipped_cases(name: str, aim: str) -> None:
    """Proven without a gap, nothing below cost, as many thresholds as tiers less one."""
    code, answer, notes = run(name, "--aim", aim)
    assert code == 0, notes
    assert (answer["status"], answer["gap"]) == ("optimal", pytest.approx(0.0, abs=1e-9))
    keys = {"distortion": "worst_overcharge", "mean": "mean_overcharge", "margin": "margin_usd_per_hour"}
    aimed = answer[keys[aim]]
    assert answer["bound"] == pytest.approx(aimed, rel=1e-6)
    assert answer["checked"]["least_price_over_cost"] >= 1.0
    assert len(answer["thresholds"]) == len(answer["prices"]) - 1
    assert all(answer["services"].keys() <= tier.keys() for tier in answer["prices"])
    assert answer["sources"]
    if aim == "distortion":
        assert answer["warnings"] == []


def test_a_margin_that_callers_would_undo_is_told() -> None:
    """The margin's prices ignore callers who pad a prompt or change class: where that pays, a note says so."""
    answer = run("talk_100b", "--aim", "margin")[1]
    outputs = [tier["standard"]["output"] for tier in answer["prices"]]
    assert (outputs != sorted(outputs)) == any("price of standard falls" in note for note in answer["warnings"])
    dearer = any(tier["batch"]["output"] > tier["standard"]["output"] for tier in answer["prices"])
    assert dearer == any("batch is dearer than standard" in note for note in answer["warnings"])


@pytest.mark.parametrize(("tiers", "edges"), [("2", [447214]), ("3", [341995, 584804])])
def test_the_talk_with_an_endless_batch(tiers: str, edges: list[int]) -> None:
    """C18: +50 % breaks even up to 300k, the base must be 3.33 floors; K tiers over-charge by 5^(1/K) at best."""
    answer = run("talk_large_batch", "--tiers", tiers)[1]
    assert answer["published_step"]["output"]["break_even_tokens"] == pytest.approx(300e3, rel=0.01)
    assert answer["published_step"]["output"]["least_base_over_floor"] == pytest.approx(10 / 3, rel=1e-3)
    assert answer["published_step"]["input"]["step_that_covers"] == pytest.approx(1.0)
    assert answer["thresholds"] == edges
    assert answer["worst_overcharge"] == pytest.approx(5 ** (1 / int(tiers)), rel=0.02)


def test_cache_prices_cover_holding_and_reading(talk: Any) -> None:  # noqa: ANN401
    """A write pays its prefill and its hold on the device that is named, a read its transfer; long holds cost more."""
    from planner.instance.memory_tiers import load_memory_tiers

    devices = {tier.name: tier for tier in load_memory_tiers("host_2026").tiers}
    for tier in talk["prices"]:
        for line, hours in (("cache_write_short", 1 / 12), ("cache_write_long", 1.0)):
            device = devices[talk["cache_tiers"][line]]
            held = 1096.3 * device.usd_per_byte_hour * hours
            read = 1096.3 / device.bytes_per_s * 2.0 / 3600
            prefill = 2e11 / 4.5e15 * 2 / 3600 * (1 + tier["up_to_tokens"] / 4e6)
            assert tier[line] / 1e6 >= held + prefill
            assert tier["cache_read"] / 1e6 >= read
        assert tier["cache_read"] < tier["standard"]["input"]
        assert tier["cache_write_short"] <= tier["cache_write_long"]


def test_menus_are_listed() -> None:
    """`planner list menus` names the shipped cases."""
    result = CliRunner().invoke(app, ["list", "menus"])
    assert all(name in result.stdout for name in ("talk_100b", "talk_large_batch", "deepseek-v3_nvl72"))


def test_the_fleets_of_the_dossier(talk: Any) -> None:  # noqa: ANN401
    """C8: 278.0, 264.1, 250.2, 226.9 and 226.75 nodes when 0, 5, 10, 18.4 and 30 % of the work may wait."""
    fleets = [row["fleet"] for row in talk["valley_by_share"]]
    assert fleets == pytest.approx([278.0, 264.1, 250.2, 226.9, 226.75], abs=0.1)
    assert talk["valley"]["share"] == 0.1
    assert talk["valley"]["fleet"] == pytest.approx(250.2, abs=0.1)


def test_valley_factors_pay_for_the_fleet(talk: Any) -> None:  # noqa: ANN401
    """What both classes pay for capacity is the whole fleet at every share; half price is where it is said to be."""
    for row in talk["valley_by_share"]:
        share = row["share"]
        paid = (1 - share) * row["interactive_factor"] + share * row["batch_factor"]
        assert paid == pytest.approx(0.05 + 0.95 * row["fleet"] / 226.75, rel=1e-9)
    from planner.instance.menu_case import load_menu_case
    from planner.studies.menu_inputs import valley_of

    half = valley_of(load_menu_case("talk_100b"), talk["half_price_share"])
    assert half.batch_factor == pytest.approx(half.interactive_factor / 2, rel=1e-6)


def test_the_fast_price_of_the_talk(talk: Any) -> None:  # noqa: ANN401
    """C6: at lambda 0.25 and 2.61 times the balance batch, six times the price buys 2.5 times the speed."""
    bought = {row["price_ratio"]: row["speed_ratio"] for row in talk["fast_menu"]}
    assert bought[6.0] == pytest.approx(2.5, abs=0.01)
    assert talk["kink_tokens"] == pytest.approx(200_000, rel=1e-3)


@pytest.mark.parametrize("name", SHIPPED)
def test_text_fits_a_terminal(name: str) -> None:
    """At most 80 columns, and the numbers people look for."""
    result = CliRunner().invoke(app, ["menu", name])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert all(word in result.stdout for word in ("standard", "bound", "no loss"))
    assert ("valley" in result.stdout) == (name != "talk_large_batch")


def test_more_tiers_from_the_command_line() -> None:
    """--tiers replaces the file's number; distortion falls from one tier to two."""
    one, two = (run("talk_100b", "--tiers", tiers)[1] for tiers in ("1", "2"))
    assert (one["thresholds"], len(two["thresholds"])) == ([], 1)
    assert two["worst_overcharge"] < one["worst_overcharge"]


def test_a_limit_that_no_menu_keeps() -> None:
    """Exit code 1 and the reason."""
    code, answer, notes = run("talk_100b", "--most-overcharge", "1.01")
    assert (code, answer["status"]) == (1, "none")
    assert "no menu of 2 tiers" in notes


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("requests_per_s = 20", "requests_per_s = -20", ["bins.0.requests_per_s", "bins.1.requests_per_s"]),
        ("tiers = 2", "tiers = 9", ["9 tiers for 8 bins"]),
        ("up_to_tokens = 16000", "up_to_tokens = 3000", ["must rise"]),
        ('precision = "fp8"', 'precision = "fp3"', ["model.precision"]),
        ('hardware = "nvl72_nominal"', 'hardware = "abacus"', ["machine.hardware: abacus"]),
        ("ratio = 1.05", "ratio = 1.05\ncoin_usd_per_mtok = 0.1", ["either ratio or coin"]),
        ("speed_ratio = 2.5", "speed_ratio = 2.7", ["services.fast.speed_ratio", "most there is"]),
        ("gpus = 72", "gpus = 1", ["times the memory of the weights"]),
        ("deferrable_share = 0.1", "deferrable_share = 0.95", ["leave no standard request"]),
        ("most = 32000", "most = 2000000000", ["answers.most"]),
        ("most = 32000", "most = 500", ["bins.0.output_tokens"]),
        ("peak = 278", "peak = 100", ["peak must lie"]),
        ("ratio = 1.05", 'coin_usd_per_mtok = "0.01 EUR/Mtoken"', ["usd/megatoken"]),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, old: str, new: str, told: list[str]) -> None:
    """Exit code 2, with the key and what is wrong."""
    text = library.find("menus", "talk_100b").read_text()
    assert old in text
    path = tmp_path / "menu.toml"
    path.write_text(text.replace(old, new))
    code, _, notes = run(str(path))
    assert code == 2, notes
    assert all(word in notes for word in told), notes


def test_every_problem_comes_at_once(tmp_path: Path) -> None:
    """A negative demand, too many tiers, an unknown model and unknown hardware: four lines of one error."""
    text = library.find("menus", "deepseek-v3_nvl72").read_text()
    for old, new in (
        ("requests_per_s = 30", "requests_per_s = -1"),
        ("tiers = 3", "tiers = 12"),
        ('name = "deepseek-v3"\n', 'name = "no-such-model"\n'),
        ('hardware = "gb200_nvl72"', 'hardware = "abacus"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "menu.toml"
    path.write_text(text)
    code, _, notes = run(str(path))
    assert code == 2
    for told in (
        "bins.0.requests_per_s",
        "12 tiers for 8 bins",
        "model.name: no-such-model",
        "machine.hardware: abacus",
    ):
        assert told in notes, notes


@pytest.mark.parametrize("rate", ["0", "0.0"])
def test_an_empty_histogram(tmp_path: Path, rate: str) -> None:
    """No requests at all, or no bins: told, not divided by."""
    text = library.find("menus", "talk_100b").read_text()
    path = tmp_path / "menu.toml"
    path.write_text(re.sub(r"requests_per_s = [\d.]+", f"requests_per_s = {rate}", text))
    code, _, notes = run(str(path))
    assert (code, "the histogram is empty" in notes) == (2, True), notes
    path.write_text(text.split("[[bins]]")[0] + "[sources]\nall = 'test'\n")
    code, _, notes = run(str(path))
    assert (code, "bins" in notes) == (2, True), notes


def test_margin_needs_what_requests_are_worth(tmp_path: Path) -> None:
    """Each bin without a reservation price is named."""
    text = library.find("menus", "talk_100b").read_text()
    path = tmp_path / "menu.toml"
    path.write_text(text.replace("reservation_usd = 0.03\n", "", 1))
    code, _, notes = run(str(path), "--aim", "margin")
    assert (code, "bins.1.reservation_usd" in notes) == (2, True), notes


def test_a_grid_too_fine_to_list(tmp_path: Path) -> None:
    """Prices up to a worth of a thousand million dollars on steps of 5 % are refused at once, not tried for minutes."""
    text = library.find("menus", "talk_100b").read_text()
    path = tmp_path / "menu.toml"
    path.write_text(text.replace("reservation_usd = 0.03\n", "reservation_usd = 1e9\n", 1))
    code, _, notes = run(str(path), "--aim", "margin")
    assert (code, "larger ratio or coin" in notes) == (2, True), notes


def test_sparse_attention_is_refused(tmp_path: Path) -> None:
    """A model that reads a fixed number of cache entries has no linear cost: said, not guessed."""
    text = library.find("menus", "deepseek-v3_nvl72").read_text()
    path = tmp_path / "menu.toml"
    path.write_text(text.replace('name = "deepseek-v3"\n', 'name = "deepseek-v3.2"\n', 1))
    code, _, notes = run(str(path))
    assert (code, "does not read its whole cache" in notes) == (2, True), notes
