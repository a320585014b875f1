"""Claims about GPU-hour prices: dated, sourced, and equal to the collected table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.loading import load_accelerator
from planner.instance.prices import columns_with, gpu_hour_price, load_prices

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="measured files are not beside this checkout")
COLUMNS = ("tco_hyperscaler", "tco_neocloud", "rental_3yr", "market_low", "market_high")


@pytest.mark.parametrize(
    ("hardware", "column", "usd"),
    [
        ("gb200_nvl72", "rental_3yr", 3.30),
        ("GB200 NVL72", "rental_3yr", 3.30),
        ("nvl72_nominal", "rental_3yr", 3.30),
        ("h100", "tco_neocloud", 1.69),
        ("h800", "market_low", 2.00),
        ("b200", "market_high", 8.60),
    ],
)
def test_published_prices(hardware: str, column: str, usd: float) -> None:
    """Rental and ownership prices of the April 2026 snapshot, market prices of autumn 2026, DeepSeek's 2 USD."""
    price = gpu_hour_price(hardware, column)
    assert price.usd_per_gpu_hour == pytest.approx(usd)
    assert price.column == column
    assert price.source


def test_h800_price_is_dated() -> None:
    """DeepSeek's assumption is of March 2025."""
    price = gpu_hour_price("h800", "market_high")
    assert price.date == "2025-03"
    assert "DeepSeek" in price.source


def test_unknown_column_lists_the_columns() -> None:
    """A wrong column is answered with the columns that exist."""
    with pytest.raises(InstanceError) as caught:
        gpu_hour_price("h100", "retail")
    assert all(column in str(caught.value) for column in COLUMNS)


def test_no_price_lists_the_columns_that_have_one() -> None:
    """H800 has market prices only, A100 none; both errors say so."""
    assert columns_with("h800") == ["market_high", "market_low"]
    with pytest.raises(InstanceError, match="market_high, market_low"):
        gpu_hour_price("h800", "rental_3yr")
    with pytest.raises(InstanceError, match="no column has one"):
        gpu_hour_price("a100_80", "rental_3yr")


def test_a_price_file_of_ones_own(tmp_path: Path) -> None:
    """A column may be a path, for hardware that is not shipped; a second price for one accelerator is refused."""
    entry = '[[prices]]\nhardware = "my_chip"\nusd_per_gpu_hour = "1.5 usd/hour"\ndate = "2026-11"\nsource = "offer"\n'
    path = tmp_path / "quote.toml"
    path.write_text(f'column = "quote"\ntitle = "A quote"\n{entry}', encoding="utf-8")
    assert gpu_hour_price("my_chip", str(path)).usd_per_gpu_hour == 1.5
    path.write_text(f'column = "quote"\ntitle = "A quote"\n{entry}{entry}', encoding="utf-8")
    with pytest.raises(InstanceError, match="more than one price for my_chip"):
        gpu_hour_price("my_chip", str(path))


@pytest.mark.parametrize("column", library.names("prices"))
def test_every_price_names_known_hardware(column: str) -> None:
    """A file's name is its column's name and its hardware is shipped."""
    prices = load_prices(column)
    assert prices.column == column
    assert all(load_accelerator(entry.hardware).name == entry.hardware for entry in prices.prices)


@needs_data
@pytest.mark.shared_data
@pytest.mark.parametrize("column", COLUMNS)
def test_prices_agree_with_the_collected_table(column: str) -> None:
    """Every price of accelerators.csv is shipped, to the cent, and nothing is priced that is not there."""
    with (DATA / "accelerators.csv").open(encoding="utf-8") as stream:
        table = {row["name"]: row[f"usd_per_gpu_h_{column}"] for row in csv.DictReader(stream)}
    expected = {load_accelerator(name).name: float(text) for name, text in table.items() if text}
    shipped = {entry.hardware: entry.usd_per_gpu_hour for entry in load_prices(column).prices}
    nominal = {"nvl72_nominal": "gb200_nvl72", "b200_nominal": "b200"}
    assert shipped == pytest.approx(expected | {name: expected[twin] for name, twin in nominal.items()})
