"""Every price pair worth printing for every range of contexts, tabulated: what `formulations.price_menu` chooses from.

An offer is one price of input and one of output tokens for one service over adjoining bins of contexts. Offers that
lose on any request of their bins are not listed, nor those that another of the same service and range beats in both
measures.
"""

from __future__ import annotations

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
_MOST_PAIRS = 4_000_000
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
    """

    costs: RequestCosts
    demand: Demand
    grid: PriceGrid
    services: tuple[Service, ...]
    cache_lines: tuple[CacheLine, ...] = ()
    each_price_covers: bool = True
    seek_margin: bool = False

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
                for last in range(first, bins):
                    self._list_pairs(listing, (first, last, group), service, points[first : last + 1])
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

    def _candidates(self, place: tuple[int, int, int], service: Service) -> tuple[Floats, Floats]:
        """Prices of input and of output to try for a range of bins."""
        first, last, _ = place
        demand, factor = self.demand, service.capacity_factor
        ends = np.array([demand.low_tokens[first], demand.high_tokens[last]])
        answers = np.array([demand.least_output, demand.most_output])
        units = (
            factor * self.costs.input_usd(ends) / ends,
            factor * self.costs.output_usd(ends, answers, service.batch) / answers,
        )
        tokens = (demand.mean_input[first : last + 1], demand.mean_output[first : last + 1])
        worth = service.reservation_ratio * demand.reservation_usd[first : last + 1]
        ranges = []
        for (least, most), used in zip(units, tokens, strict=True):
            low, high = (most, most) if self.each_price_covers else (least / _WIDER, most * _WIDER)
            if self.seek_margin:
                high = max(high, float((worth / used).max()))
            ranges.append((low, high))
        pairs = self.grid.count(*ranges[0]) * self.grid.count(*ranges[1])
        if pairs > _MOST_PAIRS:
            message = f"{pairs:,} pairs of prices for one tier are too many to list"
            raise InstanceError.single("menu", "grid", message, "give a larger ratio or a larger coin")
        return self.grid.between(*ranges[0]), self.grid.between(*ranges[1])

    def _list_pairs(self, listing: _Listing, place: tuple[int, int, int], service: Service, points: Floats) -> None:
        inputs, outputs = self._candidates(place, service)
        prices = np.stack([grid.ravel() for grid in np.meshgrid(inputs, outputs, indexing="ij")], axis=1)
        highest, lowest = np.zeros(len(prices)), np.full(len(prices), np.inf)
        wanted = self.demand.requests_per_s[place[0] : place[1] + 1] > 0
        for at, rows in enumerate(points):
            for tokens_in, tokens_out, usd in rows:
                ratio = (prices[:, 0] * tokens_in + prices[:, 1] * tokens_out) / usd
                lowest = np.minimum(lowest, ratio)
                if wanted[at]:
                    highest = np.maximum(highest, ratio)
        kept = lowest >= 1.0 - _SLACK
        prices, worst = prices[kept], np.maximum(1.0, highest[kept])
        charge, margin, lost = self._sales(place, service, prices)
        for row in _undominated(worst, -margin if self.seek_margin else charge):
            values = (worst[row], charge[row], margin[row], lost[row])
            listing.append((*place, *map(float, prices[row]), *map(float, values)))

    def _sales(self, place: tuple[int, int, int], service: Service, prices: Floats) -> tuple[Floats, Floats, Floats]:
        """Sum what requests pay, what is left over cost, and how many leave, a second [pair]."""
        charge, margin, lost = np.zeros((3, len(prices)))
        demand = self.demand
        for at in range(place[0], place[1] + 1):
            usual = np.array([demand.mean_input[at]]), np.array([demand.mean_output[at]])
            rate = service.share * float(demand.requests_per_s[at])
            bill = prices[:, 0] * usual[0] + prices[:, 1] * usual[1]
            stays = bill <= service.reservation_ratio * demand.reservation_usd[at] * (1.0 + _SLACK)
            charge += rate * bill
            margin += rate * np.where(stays, bill - self.request_usd(service, *usual)[0], 0.0)
            lost += rate * ~stays
        return charge, margin, lost

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


def _undominated(worst: Floats, other: Floats) -> list[int]:
    """Rows that no row beats in both: sorted by the first, kept while the second falls."""
    kept: list[int] = []
    for row in np.lexsort((other, worst)):
        if not kept or other[row] < other[kept[-1]] - 1e-15 * max(1.0, abs(other[row])):
            kept.append(int(row))
    return kept
