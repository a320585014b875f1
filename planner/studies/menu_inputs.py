"""From the case of a price menu to the curves, services and cache lines that its prices must cover."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from formulations.valley_filling import ValleyFilling, ValleyProblem
from planner.costs.menu import PriceGrid, RequestCosts, batch_at_speed, cheapest_place
from planner.costs.menu_offers import CacheLine, Demand, MenuTabulator, Service
from planner.errors import InstanceError
from planner.instance.loading import load_accelerator, load_model
from planner.instance.memory_tiers import hbm_tier, load_memory_tiers
from planner.instance.quantities import PRECISION_BYTES
from planner.solver.highs import solve_pyomo

if TYPE_CHECKING:
    from planner.errors import Problem
    from planner.instance.menu_case import MenuCase, MenuModel
    from planner.instance.model import MoeModel

HOURS = 24


@dataclass(frozen=True)
class ModelNumbers:
    """What prices depend on of a model."""

    active_params: float
    total_params: float
    kv_bytes_per_token: float
    attention_tokens: float
    precision: str


@dataclass(frozen=True)
class Valley:
    """The fleet of a day in which a share of the work may wait.

    Attributes
    ----------
    share, fleet
        Share of the work that waits; capacity needed, in the unit of the day's mean and peak.
    interactive_factor, batch_factor
        Capacity paid for over capacity used: alone, interactive work needs its peak; what waits adds only what the
        fleet then grows by. Together they pay for the fleet, neither for the other.
    """

    share: float
    fleet: float
    interactive_factor: float
    batch_factor: float


@dataclass(frozen=True, eq=False)
class MenuInputs:
    """Everything that offers are tabulated from, and the numbers told beside the menu."""

    tabulator: MenuTabulator
    valley: Valley
    chi: float
    mean_context_tokens: float
    cache_places: dict[str, str]

    @property
    def standard(self) -> Service:
        """The standard class."""
        return next(service for service in self.tabulator.services if service.name == "standard")


def model_numbers(model: MenuModel) -> ModelNumbers:
    """Numbers of a model, from the library or as given.

    Raises
    ------
    InstanceError
        If its attention is sparse: the cost of a token then does not grow in proportion to the context.
    """
    if model.name is None:
        attention = model.attention_tokens or float("inf")
        given = (float(model.active_params or 0), float(model.total_params or 0), float(model.kv_bytes_per_token or 0))
        return ModelNumbers(*given, attention, model.precision)
    found = load_model(model.name)
    if any(kind.entries_read is not None for kind in found.context_layers) or not found.kv_bytes_per_token:
        message = f"{found.name} does not read its whole cache: its cost is not linear in the context"
        raise InstanceError.single("menu", "model.name", message, "give a model with full attention")
    weights = found.weights.routed_experts if found.moe_layers else found.weights.dense_ffn
    return ModelNumbers(
        found.published_active_params,
        found.published_total_params,
        found.kv_bytes_per_token,
        model.attention_tokens or _attention_tokens(found),
        weights,
    )


def _attention_tokens(model: MoeModel) -> float:
    """Context at which prefill attention costs as many FLOP as the weights."""
    growing = [kind for kind in model.context_layers if kind.grows]
    flop = sum(kind.layers * kind.flop_per_entry_prefill / kind.tokens_per_entry for kind in growing)
    return 2.0 * model.published_active_params / flop


@cache
def fleet_of(mean: float, peak: float, share: float) -> float:
    """Fleet for a sinusoidal day of which ``share`` may wait (`formulations.valley_filling`; seed claims, C8)."""
    demand = mean + (peak - mean) * np.sin(2 * np.pi * np.arange(HOURS) / HOURS)
    built = ValleyFilling().build(ValleyProblem((1.0 - share) * demand, share * float(demand.sum())))
    return float(solve_pyomo(built.model).uninterrupted().objective or 0.0)


def valley_of(case: MenuCase, share: float) -> Valley:
    """Fleet and capacity factors at a deferrable share; a part of the GPU's price is paid only while it works."""
    day = case.day
    fleet, running = fleet_of(day.mean, day.peak, share), day.running_share
    added = (fleet - (1.0 - share) * day.peak) / (share * day.mean) if share else 0.0
    return Valley(
        share,
        fleet,
        running + (1.0 - running) * day.peak / day.mean,
        running + (1.0 - running) * max(0.0, added),
    )


def half_price_share(case: MenuCase) -> float | None:
    """Least deferrable share at which work that waits, at cost, pays half of what interactive work pays.

    From 1 - mean/peak on the fleet is level at the mean, and what waits adds mean - (1 - share) peak to it. None where
    the running share alone is half.
    """
    day, running = case.day, case.day.running_share
    wanted = (valley_of(case, 0.0).interactive_factor / 2.0 - running) / (1.0 - running) if running < 1.0 else 0.0
    return (
        (day.peak - day.mean) / (day.peak - wanted * day.mean) if 0.0 < wanted < 1.0 and day.peak > day.mean else None
    )


def menu_inputs(case: MenuCase, *, seek_margin: bool, frontier: bool = True) -> MenuInputs:
    """Derive curves, services and cache lines; ``frontier`` as in `MenuTabulator`.

    Raises
    ------
    InstanceError
        If the batches do not fit in memory, a service cannot be that fast, or a margin is sought without what requests
        are worth; all of them at once.
    """
    numbers = model_numbers(case.model)
    chip = load_accelerator(case.machine.hardware)
    width = PRECISION_BYTES[numbers.precision]
    usd_per_s = case.machine.usd_per_gpu_hour / 3600.0
    peak = chip.peak_flop_per_s(numbers.precision) * case.machine.efficiency
    crossover = width * numbers.active_params / (chip.roofline_ratio(numbers.precision) * numbers.kv_bytes_per_token)
    costs = RequestCosts(2.0 * numbers.active_params / peak * usd_per_s, crossover, numbers.attention_tokens)
    demand = _demand(case)
    context = _mean_context(demand)
    chi = case.machine.gpus * chip.hbm_bytes / (width * numbers.total_params)
    valley = valley_of(case, case.services.batch.deferrable_share if case.services.batch else 0.0)
    services = _services(case, valley, context / crossover, chi, seek_margin=seek_margin)
    lines, places = _cache_lines(case, numbers)
    coin = case.grid.coin_usd_per_mtok
    grid = PriceGrid(costs.floor_usd, case.grid.ratio, None if coin is None else coin / 1e6)
    tabulator = MenuTabulator(costs, demand, grid, services, lines, case.each_price_covers, seek_margin, frontier)
    return MenuInputs(tabulator, valley, chi, context, places)


def _demand(case: MenuCase) -> Demand:
    high = np.array([entry.up_to_tokens for entry in case.bins], dtype=float)
    low = np.array([1.0, *(high[:-1] + 1.0)])
    middle = (low + high) / 2.0
    return Demand(
        low_tokens=low,
        high_tokens=high,
        mean_input=np.array([e.input_tokens or at for e, at in zip(case.bins, middle, strict=True)], dtype=float),
        mean_output=np.array([entry.output_tokens for entry in case.bins]),
        requests_per_s=np.array([entry.requests_per_s for entry in case.bins]),
        reservation_usd=np.array([entry.reservation_usd or np.inf for entry in case.bins]),
        least_output=float(case.answers.least),
        most_output=float(case.answers.most),
    )


def _mean_context(demand: Demand) -> float:
    """Context of the mean output token: that of the batch it rides in."""
    tokens = demand.requests_per_s * demand.mean_output
    return float((tokens * (demand.mean_input + demand.mean_output / 2.0)).sum() / tokens.sum())


def _services(
    case: MenuCase, valley: Valley, context_share: float, chi: float, *, seek_margin: bool
) -> tuple[Service, ...]:
    asked = case.services
    problems: list[Problem] = []
    standard = asked.batch_over_balance
    found = [Service("standard", asked.standard_share, standard, valley.interactive_factor)]
    if asked.fast is not None:
        try:
            fast = batch_at_speed(standard, context_share, asked.fast.speed_ratio)
        except ValueError as error:
            problems += InstanceError.single(
                case.name, "services.fast.speed_ratio", str(error), "ask for less speed, or give a larger batch"
            ).problems
        else:
            ratio = asked.fast.reservation_ratio
            found.insert(0, Service("fast", asked.fast.share, fast, valley.interactive_factor, ratio))
    if asked.batch is not None:
        slow = asked.batch.batch_over_balance or standard
        ratio = asked.batch.reservation_ratio
        found.append(Service("batch", asked.batch.deferrable_share, slow, valley.batch_factor, ratio))
    for service in found:
        held = 1.0 + context_share * service.batch
        if held > chi:
            message = f"the {service.name} batch needs {held:.3g} times the memory of the weights; there is {chi:.3g}"
            problems += InstanceError.single(
                case.name, "services.batch_over_balance", message, "give a smaller batch or more GPUs"
            ).problems
    if seek_margin:
        problems += [
            problem
            for at, entry in enumerate(case.bins)
            if entry.reservation_usd is None and entry.requests_per_s
            for problem in InstanceError.single(
                case.name, f"bins.{at}.reservation_usd", "is missing: most margin would be any price", "add the key"
            ).problems
        ]
    if problems:
        raise InstanceError(problems)
    return tuple(found)


def _cache_lines(case: MenuCase, numbers: ModelNumbers) -> tuple[tuple[CacheLine, ...], dict[str, str]]:
    """Prices of cached tokens: what writing and holding adds to a token's own prefill, and what reading costs."""
    if case.cache is None:
        return (), {}
    chip, usd_per_hour = load_accelerator(case.machine.hardware), case.machine.usd_per_gpu_hour
    tiers = (hbm_tier(chip, usd_per_hour), *load_memory_tiers(case.cache.tiers).tiers)
    held: dict[str, Any] = {
        name: cheapest_place(tiers, numbers.kv_bytes_per_token, hours, usd_per_hour)
        for name, hours in (("cache_write_short", case.cache.short_hours), ("cache_write_long", case.cache.long_hours))
    }
    read = max(place.read_usd for place in held.values())
    lines = [CacheLine("cache_read", read, with_input=False)]
    lines += [CacheLine(name, place.hold_usd, with_input=True) for name, place in held.items()]
    return tuple(lines), {name: place.tier for name, place in held.items()}
