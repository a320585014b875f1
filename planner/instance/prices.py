"""Prices of a GPU-hour: one file a column, a date and a source at every price."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, model_validator

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.loading import load_accelerator, read_toml, validate
from planner.instance.quantities import Frozen, UsdPerGpuHour


class PriceEntry(Frozen):
    """What one accelerator costs for an hour."""

    hardware: str
    usd_per_gpu_hour: UsdPerGpuHour
    date: str = Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$", description="Year and month, or the day, of the price.")
    source: str = Field(min_length=1)


class PriceColumn(Frozen):
    """One kind of price: total cost of ownership, a rental contract, a market offer."""

    column: str
    title: str
    prices: tuple[PriceEntry, ...]

    @model_validator(mode="after")
    def _one_price_each(self) -> PriceColumn:
        hardware = [entry.hardware for entry in self.prices]
        twice = sorted({name for name in hardware if hardware.count(name) > 1})
        if twice:
            raise ValueError(f"more than one price for {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class GpuPrice:
    """A price and where it comes from."""

    usd_per_gpu_hour: float
    column: str
    date: str
    source: str


def load_prices(name_or_path: str) -> PriceColumn:
    """Read one price column by name or path.

    Raises
    ------
    InstanceError
        If there is no such column (the message lists those that exist) or the file is wrong.
    """
    path = library.find("prices", name_or_path)
    return validate(PriceColumn, read_toml(path), str(path))


def gpu_hour_price(hardware_name: str, column: str) -> GpuPrice:
    """Price of one GPU-hour [USD] of ``hardware_name`` (name or alias) in ``column`` (name or path of a price file).

    Raises
    ------
    InstanceError
        If the column does not exist, or has no price for this hardware; the message lists the columns that do.
    """
    prices = load_prices(column)
    name = _known_name(hardware_name)
    for entry in prices.prices:
        if entry.hardware == name:
            return GpuPrice(entry.usd_per_gpu_hour, prices.column, entry.date, entry.source)
    have = columns_with(name)
    remedy = f"columns with one: {', '.join(have)}" if have else "no column has one: give usd_per_gpu_hour yourself"
    raise InstanceError.single(f"instances/prices/{prices.column}.toml", name, "has no price in this column", remedy)


def columns_with(hardware_name: str) -> list[str]:
    """Names of the shipped price columns that have a price for ``hardware_name``."""
    name = _known_name(hardware_name)
    return [
        column
        for column in library.names("prices")
        if any(entry.hardware == name for entry in load_prices(column).prices)
    ]


def _known_name(hardware_name: str) -> str:
    """Name of the shipped hardware with this alias; a name of the user's own stays as it is."""
    try:
        return load_accelerator(hardware_name).name
    except InstanceError:
        return hardware_name
