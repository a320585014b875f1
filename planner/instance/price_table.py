"""A public price table of one model: what it costs to call it, and what its prices are compared with."""

from __future__ import annotations

from pydantic import Field, model_validator

from planner.instance import library
from planner.instance.loading import read_toml, validate
from planner.instance.quantities import Frozen, UsdPerGpuHour, UsdPerMtok, UsdPerMtokHour


class LongContext(Frozen):
    """Prices above a number of input tokens."""

    threshold_tokens: int = Field(ge=1)
    input_usd_per_mtok: UsdPerMtok | None = None
    output_usd_per_mtok: UsdPerMtok | None = None


class CacheWrites(Frozen):
    """What writing a prefix into the cache costs for a short and for a long time to live."""

    short_usd_per_mtok: UsdPerMtok
    short_hours: float = Field(gt=0)
    long_usd_per_mtok: UsdPerMtok
    long_hours: float = Field(gt=0)

    @model_validator(mode="after")
    def _longer_costs_more(self) -> CacheWrites:
        if not (self.long_hours > self.short_hours and self.long_usd_per_mtok > self.short_usd_per_mtok):
            raise ValueError("the longer time to live must be longer and dearer")
        return self

    @property
    def holding_usd_per_mtok_hour(self) -> float:
        """Price of holding for an hour, if the write price is a fixed part and a part that grows with time."""
        return (self.long_usd_per_mtok - self.short_usd_per_mtok) / (self.long_hours - self.short_hours)


class FastMode(Frozen):
    """A tier that is dearer and faster than the standard one."""

    price_ratio: float = Field(gt=1)
    speed_ratio: float = Field(gt=1)


class Machine(Frozen):
    """What the seller is taken to run on."""

    hardware: str
    usd_per_gpu_hour: UsdPerGpuHour = Field(gt=0)
    gpus: int = Field(default=1, ge=1, le=10**6, description="GPUs that share one copy of the weights.")


class PriceTable(Frozen):
    """Prices of one model, USD per million tokens; absent prices give no clue."""

    name: str
    title: str
    machine: Machine
    typical_context_tokens: int | None = Field(default=None, ge=1, description="Context of a usual request.")
    input_usd_per_mtok: UsdPerMtok
    output_usd_per_mtok: UsdPerMtok
    cached_input_usd_per_mtok: UsdPerMtok | None = None
    storage_usd_per_mtok_hour: UsdPerMtokHour | None = None
    storage_tier: str | None = Field(default=None, description="Tier that holds the cache, where it is taken as known.")
    cache_writes: CacheWrites | None = None
    long_context: LongContext | None = None
    fast_mode: FastMode | None = None
    output_tokens_per_s: float | None = Field(default=None, gt=0, description="Tokens/s that one user sees.")
    sources: dict[str, str] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> PriceTable:
        problems = []
        cached = self.cached_input_usd_per_mtok
        if cached is not None and cached > self.input_usd_per_mtok:
            problems.append("cached_input_usd_per_mtok exceeds input_usd_per_mtok: nobody would use the cache")
        long = self.long_context
        if long is not None and (long.input_usd_per_mtok or self.input_usd_per_mtok) < self.input_usd_per_mtok:
            problems.append("long_context.input_usd_per_mtok lies below the short one")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def holding_usd_per_mtok_hour(self) -> float | None:
        """Price of holding a cached token for an hour: as listed, or from the two write prices."""
        if self.storage_usd_per_mtok_hour is not None:
            return self.storage_usd_per_mtok_hour
        return None if self.cache_writes is None else self.cache_writes.holding_usd_per_mtok_hour


def load_price_table(name_or_path: str) -> PriceTable:
    """Read a price table by name or path.

    Raises
    ------
    InstanceError
        If there is no such table, or it is wrong; every problem at once.
    """
    path = library.find("prices/api", name_or_path)
    return validate(PriceTable, read_toml(path), str(path))
