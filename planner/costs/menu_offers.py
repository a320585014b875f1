"""Every price pair worth printing for every range of contexts, tabulated: what `formulations.price_menu` chooses from.

An offer is one price of input and one of output tokens for one service over adjoining bins of contexts. Offers that
lose on any request of their bins are not listed, nor those that another of the same service and range beats in both
measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from planner.errors import InstanceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.costs.menu import PriceGrid, RequestCosts

    Floats = NDArray[np.float64]

_Listing: TypeAlias = "list[tuple[float, ...]]"
_SLACK = 1e-9
_MOST_PAIRS = 300_000
_MOST_TRIED = 100_000_000  # pairs times ranges of bins; either limit is about 20 s
_WIDER = 10.0


@dataclass(frozen=True, eq=False)
class Demand:
    """Requests by bins of the prompt's length, arrays [bin].

    Attributes
    ----------
    low_tokens, high_tokens
        Shortest and longest prompt of each bin.
    mean_input, mean_output
        Tokens of the bin's usual request.
    requests_per_s
        Of all services together.
    reservation_usd
        Most that the usual standard request is worth to its sender; infinite where nobody leaves.
    least_output, most_output
        Shortest and longest answer of any request [tokens].
    """

    low_tokens: Floats
    high_tokens: Floats
    mean_input: Floats
    mean_output: Floats
    requests_per_s: Floats
    reservation_usd: Floats
    least_output: float
    most_output: float

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.high_tokens)


@dataclass(frozen=True)
class Service:
    """A class of service.

    Attributes
    ----------
    name
        standard, fast or batch.
    share
        Of all requests.
    batch
        Sequences over the balance batch.
    capacity_factor
        Capacity paid for over capacity used: above 1 where peaks must be met, below 1 in the valleys between.
    reservation_ratio
        Worth of a request over that of a standard one.
    """

    name: str
    share: float
    batch: float
    capacity_factor: float = 1.0
    reservation_ratio: float = 1.0


@dataclass(frozen=True)
class CacheLine:
    """A price of cached tokens: USD a token besides the token's own prefill, where ``with_input`` says it has one."""

    name: str
    usd_per_token: float
    with_input: bool


@dataclass(frozen=True, eq=False)
class Offers:
    """Offers, arrays [offer]; prices [offer, 2] in USD a token: input and output, or the cache price and 0.

    ``worst`` is the largest price over cost of any corner of the bins, ``charge_usd`` what all requests would pay and
    ``margin_usd`` what those that stay leave over cost, both a second; ``lost_per_s`` those that leave.
    """

    bins: int
    groups: tuple[str, ...]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    group: NDArray[np.int64]
    prices: Floats
    worst: Floats
    charge_usd: Floats
    margin_usd: Floats
    lost_per_s: Floats


@dataclass(frozen=True, eq=False)
class MenuTabulator:
    """Lists the offers of a demand.

    Attributes
    ----------
    each_price_covers
        Input and output must each cover their own cost; otherwise only the whole request must, so that one may pay for
        the other, at prices from a tenth of their own least cost to ten times their own greatest.
    seek_margin
        List dearer prices too, up to what requests are worth, and rank by margin instead of charge.
    frontier
        List every trade-off between over-charge and rank; otherwise only the first in rank, which is enough where
        over-charge has no say.
    """

    costs: RequestCosts
    demand: Demand
    grid: PriceGrid
    services: tuple[Service, ...]
    cache_lines: tuple[CacheLine, ...] = ()
    each_price_covers: bool = True
    seek_margin: bool = False
    frontier: bool = True

    def offers(self) -> Offers:
        """Tabulate every range of bins for every service and cache price.

        Raises
        ------
        InstanceError
            If the grid is too fine to list.
        """
        listing: _Listing = []
        bins = self.demand.bins
        for group, service in enumerate(self.services):
            points = self._points(service)
            for first in range(bins):
                self._list_pairs(listing, first, group, points)
        for group, line in enumerate(self.cache_lines, start=len(self.services)):
            for first in range(bins):
                for last in range(first, bins):
                    self._list_cache(listing, (first, last, group), line)
        names = (*(service.name for service in self.services), *(line.name for line in self.cache_lines))
        columns = np.array(listing, dtype=float).T
        whole = columns[:3].astype(np.int64)
        return Offers(bins, names, whole[0], whole[1], whole[2], columns[3:5].T, *columns[5:9])

    def request_usd(self, service: Service, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Cost of whole requests of a service."""
        both = self.costs.input_usd(input_tokens) + self.costs.output_usd(input_tokens, output_tokens, service.batch)
        return np.asarray(service.capacity_factor * both, dtype=float)

    def _points(self, service: Service) -> Floats:
        """Corners of every bin that prices must cover: input tokens, output tokens, cost [bin, point, 3]."""
        demand, factor = self.demand, service.capacity_factor
        points = []
        for low, high in zip(demand.low_tokens, demand.high_tokens, strict=True):
            corners = [(length, out) for length in (low, high) for out in (demand.least_output, demand.most_output)]
            if self.each_price_covers:
                inputs = [(length, 0.0, factor * float(self.costs.input_usd(length))) for length in (low, high)]
                outputs = [
                    (0.0, out, factor * float(self.costs.output_usd(length, out, service.batch)))
                    for length, out in corners
                ]
                points.append(inputs + outputs)
            else:
                whole = np.array(corners)
                usd = self.request_usd(service, whole[:, 0], whole[:, 1])
                points.append([(*corner, float(cost)) for corner, cost in zip(corners, usd, strict=True)])
        return np.array(points)

    def _candidates(self, first: int, service: Service) -> Floats:
        """Pairs of prices to try for ranges of bins that begin at ``first`` [pair, 2]."""
        demand, factor = self.demand, service.capacity_factor
        low, high = demand.low_tokens[first], demand.high_tokens[first:]
        few, many = demand.least_output, demand.most_output
        least = (self.costs.input_usd(low) / low, self.costs.output_usd(low, few, service.batch) / few)
        most = (self.costs.input_usd(high) / high, self.costs.output_usd(high, many, service.batch) / many)
        worth = service.reservation_ratio * demand.reservation_usd[first:]
        lines, counts = [], []
        for side, used in enumerate((demand.mean_input[first:], demand.mean_output[first:])):
            own = factor * np.asarray(most[side])
            if self.each_price_covers and not self.seek_margin:
                lines.append(np.unique([self.grid.up(float(usd)) for usd in own]))
                continue
            bottom = float(own[0] if self.each_price_covers else factor * least[side] / _WIDER)
            top = float(own[-1]) * (1.0 if self.each_price_covers else _WIDER)
            top = max(top, float((worth / used).max())) if self.seek_margin else top
            counts.append(self.grid.count(bottom, top))
            tried = math.prod(counts)
            if tried > _MOST_PAIRS or tried * demand.bins * (demand.bins + 1) // 2 > _MOST_TRIED:
                message = f"{tried:,} prices or pairs of them for a tier of {demand.bins} bins are too many"
                raise InstanceError.single("menu", "grid", message, "give a larger ratio or coin, or fewer bins")
            lines.append(self.grid.between(bottom, top))
        return np.stack([side.ravel() for side in np.meshgrid(*lines, indexing="ij")], axis=1)

    def _list_pairs(self, listing: _Listing, first: int, group: int, points: Floats) -> None:
        """List offers of every range that begins at ``first``: it grows by a bin, and pairs that lose drop out."""
        service, demand = self.services[group], self.demand
        prices = self._candidates(first, service)
        charge, margin, lost, highest = np.zeros((4, len(prices)))
        for last in range(first, demand.bins):
            ratio = prices @ points[last, :, :2].T / points[last, :, 2]
            if demand.requests_per_s[last] > 0:
                highest = np.maximum(highest, ratio.max(axis=1))
            sums = [
                total + added
                for total, added in zip((charge, margin, lost), self._sales(last, service, prices), strict=True)
            ]
            kept = ratio.min(axis=1) >= 1.0 - _SLACK
            prices, highest = prices[kept], highest[kept]
            charge, margin, lost = (total[kept] for total in sums)
            worst = np.maximum(1.0, highest)
            other = -margin if self.seek_margin else charge
            for row in _undominated(worst, other) if self.frontier else [int(np.lexsort((worst, other))[0])]:
                values = (*prices[row], worst[row], charge[row], margin[row], lost[row])
                listing.append((first, last, group, *map(float, values)))

    def _sales(self, at: int, service: Service, prices: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what requests of a bin pay, what is left over cost, and how many leave, a second [pair]."""
        demand = self.demand
        usual = np.array([demand.mean_input[at]]), np.array([demand.mean_output[at]])
        rate = service.share * float(demand.requests_per_s[at])
        bill = prices[:, 0] * usual[0] + prices[:, 1] * usual[1]
        stays = bill <= service.reservation_ratio * demand.reservation_usd[at] * (1.0 + _SLACK)
        margin = rate * np.where(stays, bill - self.request_usd(service, *usual)[0], 0.0)
        return rate * bill, margin, rate * ~stays

    def _list_cache(self, listing: _Listing, place: tuple[int, int, int], line: CacheLine) -> None:
        """List the least price that covers the dearest prompt of the range: nobody leaves for a cache price."""
        first, last, _ = place
        ends = np.array([self.demand.low_tokens[first], self.demand.high_tokens[last]])
        factor = max(service.capacity_factor for service in self.services)
        own = factor * self.costs.input_usd(ends) / ends if line.with_input else np.zeros(2)
        least, most = own + line.usd_per_token
        price = self.grid.up(float(most))
        wanted = bool((self.demand.requests_per_s[first : last + 1] > 0).any())
        worst = price / float(least) if wanted else 1.0
        listing.append((*place, price, 0.0, worst, 0.0, 0.0, 0.0))


def _undominated(worst: Floats, other: Floats) -> NDArray[np.int64]:
    """Rows that no row beats in both: sorted by the first, kept while the second falls."""
    order = np.lexsort((other, worst))
    sorted_other = other[order]
    before = np.minimum.accumulate(np.concatenate([[np.inf], sorted_other[:-1]]))
    return np.asarray(order[sorted_other < before - 1e-15 * np.maximum(1.0, np.abs(sorted_other))], dtype=np.int64)
