"""What it costs to recompute, to fetch and to hold the KV of a prefix, and for how long holding pays.

Source of the identities: seed claims dossier, C21, C22 and T6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.costs.queueing import waiting_percentile_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.instance.memory_tiers import MemoryTier
    from planner.instance.prefixes import WritePolicy

SECONDS_PER_HOUR = 3600.0


def recompute_s_per_token(active_params: float, flop_per_s: float) -> float:
    """Time [s] of one GPU to compute one token again at its peak: 2 N_act / F."""
    return 2.0 * active_params / flop_per_s


def retrieve_s_per_token(kv_bytes_per_token: float, bytes_per_s: float) -> float:
    """Time [s] to fetch the KV of one token: k / BW."""
    return kv_bytes_per_token / bytes_per_s


def hold_usd_per_token_s(kv_bytes_per_token: float, tier: MemoryTier) -> float:
    """Dollars to hold the KV of one token for a second."""
    return kv_bytes_per_token * tier.usd_per_byte_hour / SECONDS_PER_HOUR


def drain_s(capacity_bytes: float, bytes_per_s: float) -> float:
    """Time [s] to read all of a device once, C / BW: held that long, holding costs what reading does."""
    return capacity_bytes / bytes_per_s


def hbm_break_even_s(active_params: float, flop_per_s: float, kv_bytes_per_token: float, hbm_bytes: float) -> float:
    """Time [s] that KV may lie in a GPU's HBM before computing it again is cheaper: (2 N_act / F) / (k / C).

    The GPU's price cancels, and so it is the drain time times the crossover context, (C / W) L*.
    """
    return recompute_s_per_token(active_params, flop_per_s) * hbm_bytes / kv_bytes_per_token


def tier_break_even_s(recompute_usd_per_token: float, kv_bytes_per_token: float, tier: MemoryTier) -> float:
    """Time [s] that KV may lie in a tier before fetching and holding cost more than computing again; at least 0."""
    return line_break_even_s(recompute_usd_per_token, kv_bytes_per_token, hold_line(tier))


def line_break_even_s(recompute_usd_per_token: float, kv_bytes_per_token: float, line: HoldLine) -> float:
    """Time [s] after which a place costs more than computing again: where its line meets the price of computing."""
    fetch = kv_bytes_per_token * line.retrieve_usd_per_byte
    return max(0.0, recompute_usd_per_token - fetch) / (kv_bytes_per_token * line.hold_usd_per_byte_s)


def reads_to_repay(write_premium: float, read_price: float) -> float:
    """Count the reads that repay a cache write: premium / (1 - read price), in prices of an uncached token."""
    return write_premium / (1.0 - read_price)


@dataclass(frozen=True)
class HoldLine:
    """Cost of one byte kept in a place for t seconds and read once: retrieve + hold t [USD]."""

    name: str
    retrieve_usd_per_byte: float
    hold_usd_per_byte_s: float


def hold_line(tier: MemoryTier, *, in_place: bool = False) -> HoldLine:
    """Return the line of a tier. KV that is used where it lies (``in_place``: HBM) is not fetched first."""
    usd_per_s = tier.usd_per_hour / SECONDS_PER_HOUR
    retrieve = 0.0 if in_place else usd_per_s / tier.reached_bytes_per_s
    return HoldLine(tier.name, retrieve, usd_per_s / tier.capacity_bytes)


@dataclass(frozen=True)
class Stretch:
    """The cheapest place for hold times from ``from_s`` on."""

    name: str
    from_s: float


def cheapest_by_hold_time(lines: Sequence[HoldLine]) -> list[Stretch]:
    """Lower envelope of lines over the hold time from 0 on: who is cheapest, and from when.

    Starts at the least retrieve cost; from each line the next is the one that it meets first among those that rise
    more slowly.
    """
    current = min(lines, key=lambda line: (line.retrieve_usd_per_byte, line.hold_usd_per_byte_s))
    stretches = [Stretch(current.name, 0.0)]
    while True:
        slower = [line for line in lines if line.hold_usd_per_byte_s < current.hold_usd_per_byte_s]
        if not slower:
            return stretches
        meets = [(_meeting_s(current, line), line.hold_usd_per_byte_s, line) for line in slower]
        at, _, current = min(meets, key=lambda entry: entry[:2])
        stretches.append(Stretch(current.name, at))


def _meeting_s(steep: HoldLine, flat: HoldLine) -> float:
    retrieve = flat.retrieve_usd_per_byte - steep.retrieve_usd_per_byte
    return retrieve / (steep.hold_usd_per_byte_s - flat.hold_usd_per_byte_s)


def hit_share(policy: WritePolicy, ceiling: float) -> float:
    """Share of uses that find the prefix kept. Uses repeat with probability ``ceiling`` h, independently.

    Written on first use every repeat hits: h. Written on second use a hit is a third use or later: h^2.
    """
    return ceiling if policy == "first_use" else ceiling**2


def write_share(policy: WritePolicy, ceiling: float) -> float:
    """Share of uses that write the prefix: first uses, 1 - h, or second ones, h (1 - h)."""
    return (1.0 - ceiling) if policy == "first_use" else ceiling * (1.0 - ceiling)


def held_share(policy: WritePolicy, ceiling: float) -> float:
    """Share of live prefixes that are kept: all, or those whose latest use was not their first, h."""
    return 1.0 if policy == "first_use" else ceiling


def fetch_s(prefix_bytes: float, largest_bytes: float, bytes_per_s: float, busy: float, percentile: float) -> float:
    """Time [s] until a prefix has arrived from one device: its own transfer and the wait at a percentile.

    Waiting behind transfers of ``largest_bytes`` is the queue of ``waiting_percentile_s``.
    """
    wait = waiting_percentile_s(busy, largest_bytes / bytes_per_s, percentile)
    return prefix_bytes / bytes_per_s + float(wait)
