"""Places beside HBM that hold cached KV: capacity, speed and price of one device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from planner.instance import library
from planner.instance.loading import read_toml, validate
from planner.instance.quantities import Bytes, BytesPerSecond, Frozen, UsdPerGpuHour

if TYPE_CHECKING:
    from planner.instance.hardware import Accelerator


class MemoryTier(Frozen):
    """One kind of device. ``usd_per_hour`` is the price of the whole device."""

    name: str = Field(min_length=1)
    title: str
    capacity_bytes: Bytes
    bytes_per_s: BytesPerSecond
    link_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="Link to the GPU, where it is slower than the device."
    )
    usd_per_hour: UsdPerGpuHour
    source: str = Field(min_length=1)

    @property
    def reached_bytes_per_s(self) -> float:
        """Bytes/s that arrive at a GPU: of the device or of the link to it, whichever is slower."""
        return min(self.bytes_per_s, self.link_bytes_per_s or self.bytes_per_s)

    @property
    def drain_s(self) -> float:
        """Time [s] to read all of the device once: the hold time at which reading and holding cost the same."""
        return self.capacity_bytes / self.bytes_per_s

    @property
    def usd_per_byte_hour(self) -> float:
        """Price of holding a byte for an hour."""
        return self.usd_per_hour / self.capacity_bytes


class MemoryTiers(Frozen):
    """Tiers of one host, fastest first."""

    name: str
    title: str
    tiers: tuple[MemoryTier, ...] = Field(min_length=1)


def load_memory_tiers(name_or_path: str) -> MemoryTiers:
    """Read a file of tiers by name or path."""
    path = library.find("memory_tiers", name_or_path)
    return validate(MemoryTiers, read_toml(path), str(path))


def hbm_tier(chip: Accelerator, usd_per_gpu_hour: float) -> MemoryTier:
    """Return the HBM of one GPU as a tier, at the price of the whole GPU."""
    return MemoryTier(
        name="hbm",
        title=f"HBM of {chip.title}",
        capacity_bytes=chip.hbm_bytes,
        bytes_per_s=chip.hbm_bytes_per_s,
        usd_per_hour=usd_per_gpu_hour,
        source=chip.sources.get("hbm_bytes", chip.title),
    )
