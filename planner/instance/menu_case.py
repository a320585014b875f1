"""A demand by length of the prompt, and what serves it: the case of a price menu."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from planner.errors import InstanceError, Problem
from planner.instance import library
from planner.instance.hardware import Precision
from planner.instance.loading import load_accelerator, load_model, read_toml, validate
from planner.instance.quantities import Efficiency, Frozen, RatePerSecond, Share, UsdPerGpuHour, UsdPerMtok

MOST_BINS = 40


class MenuModel(Frozen):
    """The model behind the prices: one of the library by name, or four numbers."""

    name: str | None = None
    active_params: float | None = Field(default=None, gt=0)
    total_params: float | None = Field(default=None, gt=0)
    kv_bytes_per_token: float | None = Field(default=None, gt=0)
    precision: Precision = "fp8"
    attention_tokens: float | None = Field(
        default=None, gt=0, description="Context at which attention costs as many FLOP as the weights; default: never."
    )

    @model_validator(mode="after")
    def _by_name_or_numbers(self) -> MenuModel:
        numbers = (self.active_params, self.total_params, self.kv_bytes_per_token)
        if self.name is not None and any(number is not None for number in numbers):
            raise ValueError("give name, or active_params, total_params and kv_bytes_per_token, not both")
        if self.name is None and any(number is None for number in numbers):
            raise ValueError("give name, or all of active_params, total_params and kv_bytes_per_token")
        if self.active_params and self.total_params and self.active_params > self.total_params:
            raise ValueError("active_params exceeds total_params")
        return self


class MenuMachine(Frozen):
    """What it runs on."""

    hardware: str
    usd_per_gpu_hour: UsdPerGpuHour = Field(gt=0)
    gpus: int = Field(ge=1, le=10**6, description="GPUs that share one copy of the weights.")
    efficiency: Efficiency = Field(
        default=1.0, description="Share of peak FLOP/s and of peak bandwidth that is reached."
    )


class MenuGrid(Frozen):
    """Prices that may be printed: powers of a ratio times the floor, or multiples of a coin."""

    ratio: float | None = Field(default=None, ge=1.001, le=4.0)
    coin_usd_per_mtok: UsdPerMtok | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> MenuGrid:
        if (self.ratio is None) == (self.coin_usd_per_mtok is None):
            raise ValueError("give either ratio or coin_usd_per_mtok")
        return self


class Bin(Frozen):
    """Requests whose prompt is longer than the bin before and at most this long."""

    up_to_tokens: int = Field(ge=1, le=10**9)
    requests_per_s: RatePerSecond
    input_tokens: float | None = Field(default=None, gt=0, description="Of the usual request; default: the middle.")
    output_tokens: float = Field(gt=0, description="Of the usual request.")
    reservation_usd: float | None = Field(default=None, gt=0, description="Most that the usual request is worth.")


class Answers(Frozen):
    """Shortest and longest answer that prices must cover, in tokens."""

    least: int = Field(default=1, ge=1)
    most: int = Field(ge=1, le=10**8)

    @model_validator(mode="after")
    def _ordered(self) -> Answers:
        if self.most < self.least:
            raise ValueError("most lies below least")
        return self


class FastService(Frozen):
    """A dearer class on a smaller batch of the same hardware."""

    share: Share
    speed_ratio: float = Field(gt=1, description="Tokens/s of one user over the standard class.")
    reservation_ratio: float = Field(default=1.0, gt=0, description="Worth of a request over a standard one.")


class BatchService(Frozen):
    """A class that may wait for any hour of the day. Its share of requests is the deferrable share."""

    deferrable_share: Share
    batch_over_balance: float | None = Field(default=None, gt=0, description="Default: as the standard class.")
    reservation_ratio: float = Field(default=1.0, gt=0)


class Services(Frozen):
    """Classes of service; what is left of the requests is standard."""

    batch_over_balance: float = Field(gt=0, description="Sequences of the standard class over the balance batch.")
    fast: FastService | None = None
    batch: BatchService | None = None

    @property
    def standard_share(self) -> float:
        """Requests of the standard class."""
        fast = self.fast.share if self.fast else 0.0
        return 1.0 - fast - (self.batch.deferrable_share if self.batch else 0.0)

    @model_validator(mode="after")
    def _shares(self) -> Services:
        if self.standard_share <= 0.0:
            raise ValueError("fast.share and batch.deferrable_share leave no standard request")
        return self


class Day(Frozen):
    """How demand swings over a day: a sine with this mean and peak."""

    mean: float = Field(gt=0)
    peak: float = Field(gt=0)
    running_share: float = Field(gt=0, le=1, description="Share of a GPU's price that is paid only while it works.")

    @model_validator(mode="after")
    def _peak_above_mean(self) -> Day:
        if not self.mean <= self.peak <= 2 * self.mean:
            raise ValueError("peak must lie between mean and twice the mean")
        return self


class MenuCache(Frozen):
    """Prefixes that callers ask to keep."""

    tiers: str = Field(description="File of memory tiers beside HBM.")
    short_hours: float = Field(gt=0)
    long_hours: float = Field(gt=0)

    @model_validator(mode="after")
    def _longer(self) -> MenuCache:
        if self.long_hours <= self.short_hours:
            raise ValueError("long_hours must exceed short_hours")
        return self


class PublishedStep(Frozen):
    """A step that some seller prints: multipliers of the prices above a threshold."""

    threshold_tokens: int = Field(ge=1)
    input: float = Field(ge=1)
    output: float = Field(ge=1)


class MenuCase(Frozen):
    """Everything that a price menu is drawn up from."""

    name: str
    title: str
    tiers: int = Field(ge=1, description="Most context tiers.")
    each_price_covers: bool = Field(
        default=True, description="Input and output each cover their own cost; false: only the whole request does."
    )
    model: MenuModel
    machine: MenuMachine
    grid: MenuGrid
    answers: Answers
    services: Services
    day: Day
    bins: tuple[Bin, ...] = Field(min_length=1, max_length=MOST_BINS)
    cache: MenuCache | None = None
    published_step: PublishedStep | None = None
    sources: dict[str, str] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> MenuCase:
        problems = []
        edges = [entry.up_to_tokens for entry in self.bins]
        if edges != sorted(set(edges)):
            problems.append("bins must rise in up_to_tokens")
        if not any(entry.requests_per_s for entry in self.bins):
            problems.append("no bin has a request: the histogram is empty")
        for at, (low, entry) in enumerate(zip([0, *edges[:-1]], self.bins, strict=True)):
            if entry.input_tokens is not None and not low < entry.input_tokens <= entry.up_to_tokens:
                problems.append(f"bins.{at}.input_tokens lies outside its bin")
            if not self.answers.least <= entry.output_tokens <= self.answers.most:
                problems.append(f"bins.{at}.output_tokens lies outside answers.least to answers.most")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def load_menu_case(name_or_path: str, tiers: int | None = None) -> MenuCase:
    """Read a menu case by name or path; ``tiers`` replaces the file's own number.

    Raises
    ------
    InstanceError
        If there is no such file, or it is wrong: every problem at once, those of named files included.
    """
    path = library.find("menus", name_or_path)
    data = read_toml(path)
    if tiers is not None:
        data["tiers"] = tiers
    problems: list[Problem] = []
    case = None
    try:
        case = validate(MenuCase, data, str(path))
    except InstanceError as error:
        problems.extend(error.problems)
    problems.extend(_wrong_names(data, str(path)))
    bins, most = data.get("bins"), data.get("tiers")
    if isinstance(bins, list) and isinstance(most, int) and most > len(bins) > 0:
        remedy = f"at most one tier a bin: give 1 to {len(bins)}, or more bins"
        problems.append(Problem(str(path), "tiers", f"{most} tiers for {len(bins)} bins", remedy))
    if problems or case is None:
        raise InstanceError(problems)
    return case


def _wrong_names(data: dict[str, Any], file: str) -> list[Problem]:
    """Problems of the model, the hardware and the tiers that a case names."""
    from planner.instance.memory_tiers import load_memory_tiers

    problems = []
    for table, key, load in (
        ("model", "name", load_model),
        ("machine", "hardware", load_accelerator),
        ("cache", "tiers", load_memory_tiers),
    ):
        named = data.get(table)
        value = named.get(key) if isinstance(named, dict) else None
        if isinstance(value, str):
            try:
                load(value)
            except InstanceError as error:
                problems += [
                    Problem(file, f"{table}.{key}", f"{value}: {found.message}", found.remedy)
                    for found in error.problems
                ]
    return problems
