"""A case from a model, a kind of GPU and a demand: what `planner init` writes and `planner serve` solves."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem
from planner.instance.loading import load_accelerator, load_model
from planner.instance.prices import columns_with, load_prices

if TYPE_CHECKING:
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

CALIBRATION = "fitted"
"""Profile of drafted cases."""

PREFERRED_COLUMNS = ("rental_3yr", "market_low", "tco_neocloud", "tco_hyperscaler", "market_high")
"""Price columns in the order in which a draft takes the first that knows the GPU."""

_SIZES_OF_ISLANDS = (1, 2, 4, 8, 16, 24, 32, 40, 48, 64, 72, 96, 128, 144)
_SIZES_IN_A_RACK = (1, 2, 4, 6, 8, 10, 12, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 144)
_PRICE_BY_HAND = "given on the command line"


@dataclass(frozen=True)
class DraftQuestion:
    """One demand for one model on one kind of GPU.

    Attributes
    ----------
    gpus
        GPUs there are; None: as many as wanted.
    usd_per_gpu_hour
        None: a shipped price of this GPU.
    billing
        ``gpu``: only GPUs in use are paid. ``domain``: idle GPUs of a scale-up domain in use are paid too.
    """

    model: str
    hardware: str
    requests_per_s: float
    input_tokens: int
    output_tokens: int
    gpus: int | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: float = 0.95
    cached_share: float = 0.0
    usd_per_gpu_hour: float | None = None
    billing: str = "gpu"
    name: str = "my_case"


@dataclass(frozen=True)
class Draft:
    """A case file as text, and as the table that it parses to."""

    text: str
    data: dict[str, object]


def draft_case(question: DraftQuestion) -> Draft:
    """Write a commented case.

    Raises
    ------
    InstanceError
        If the model or the GPU is unknown, or the GPU has no shipped price and none is given; all at once.
    """
    model, chip, price = _looked_up(question)
    domains, domain_gpus = _domains(question.gpus, chip)
    text = "\n".join(
        (
            *_head(question, model, chip),
            *_pool(chip, price, domains, domain_gpus, question.billing),
            *_demand(question),
            *_load(model),
            *_search(model, chip, question.gpus),
        )
    )
    return Draft(text, tomllib.loads(text))


def _looked_up(question: DraftQuestion) -> tuple[MoeModel, Accelerator, list[str]]:
    """Find the model, the GPU and the lines of its price; every problem at once."""
    problems: list[Problem] = []
    model: MoeModel | None = None
    chip: Accelerator | None = None
    try:
        model = load_model(question.model)
    except InstanceError as error:
        problems += [Problem("command line", "--model", entry.message, entry.remedy) for entry in error.problems]
    try:
        chip = load_accelerator(question.hardware)
    except InstanceError as error:
        problems += [Problem("command line", "--hardware", entry.message, entry.remedy) for entry in error.problems]
    price = [] if chip is None else _price(question, chip, problems)
    if model is None or chip is None or problems:
        raise InstanceError(problems)
    return model, chip, price


def _price(question: DraftQuestion, chip: Accelerator, problems: list[Problem]) -> list[str]:
    if question.usd_per_gpu_hour is not None:
        return [f"usd_per_gpu_hour = {question.usd_per_gpu_hour!r}", f"price_source = {_quoted(_PRICE_BY_HAND)}"]
    known = columns_with(chip.name)
    column = next((name for name in PREFERRED_COLUMNS if name in known), None)
    if column is None:
        fault = f"no shipped price of {chip.name}"
        problems.append(Problem("command line", "--usd-per-gpu-hour", fault, "give the price of a GPU-hour"))
        return []
    others = ", ".join(name for name in known if name != column)
    return [
        f"# {load_prices(column).title}"
        + (f"; also: {others}; or usd_per_gpu_hour with price_source" if others else ""),
        f"price_column = {_quoted(column)}",
    ]


def _domains(gpus: int | None, chip: Accelerator) -> tuple[int | None, int]:
    """Domains and GPUs of one domain that hold ``gpus``, the last one perhaps not whole."""
    size = chip.scale_up_domain_gpus
    if gpus is None:
        return None, size
    if gpus < size:
        return 1, gpus
    return -(-gpus // size), size


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _head(question: DraftQuestion, model: MoeModel, chip: Accelerator) -> list[str]:
    return [
        "# A case: what is served, on what, for whom, at which price. `planner check FILE` checks it and",
        '# `planner solve FILE` plans it. Times, bytes and rates may carry units: "50 ms", "80 GB", "400 Gb/s".',
        f"name = {_quoted(question.name)}",
        f"title = {_quoted(f'{model.title} on {chip.title}')}",
        "",
        "# a name from `planner list models`, or a model file beside this one (`planner import hf` makes one)",
        f"model = {_quoted(model.name)}",
        f'# kv_format = "fp8"  # format of the KV cache; the model\'s own is {model.kv_format}',
        "# how far kernels and links stay behind the data sheet: fitted to measured rows; `ideal` is the roofline",
        f"calibration = {_quoted(CALIBRATION)}",
        'overlap = "two_batch"  # or "none": communication is not hidden',
        "horizon_hours = 1  # hours that the cost covers",
    ]


def _pool(chip: Accelerator, price: list[str], domains: int | None, domain_gpus: int, billing: str) -> list[str]:
    count = "# domains = 4  # absent: as many as wanted" if domains is None else f"domains = {domains}"
    return [
        "",
        "# GPUs of one kind. A domain is one scale-up domain: a rack or an island of GPUs with fast links.",
        "[[pools]]",
        'name = "gpus"',
        f"hardware = {_quoted(chip.name)}",
        count,
        f"gpus_per_domain = {domain_gpus}",
        *price,
        f'billing = {_quoted(billing)}  # "gpu": only GPUs in use are paid; "domain": a domain in use is paid whole',
    ]


def _demand(question: DraftQuestion) -> list[str]:
    limits = [
        f"{key} = {value!r}" if value is not None else f'# {key} = "{example}"  # absent: no limit'
        for key, value, example in (("ttft_s", question.ttft_s, "2 s"), ("tpot_s", question.tpot_s, "50 ms"))
    ]
    return [
        "",
        "# One kind of request; repeat the table for others. Limits hold at the percentile.",
        "[[demand]]",
        'name = "requests"',
        f"requests_per_s = {question.requests_per_s!r}",
        f"input_tokens = {question.input_tokens}",
        f"output_tokens = {question.output_tokens}",
        f"cached_share = {question.cached_share!r}  # share of input tokens whose KV is already there",
        *limits,
        f"percentile = {question.percentile!r}",
    ]


def _load(model: MoeModel) -> list[str]:
    if not model.moe_layers:
        return []
    return [
        "",
        "# How unevenly experts are loaded, where no recorded loads are given (`planner solve FILE --loads DUMP`).",
        "[expert_load]",
        "sigma = 0.65",
        "group_sigma = 0.15" if model.router_groups > 1 else "group_sigma = 0.0",
        "seed = 1",
        'source = "recorded DeepSeek-V3 tables look lognormal with sigma 0.5-0.8 (SGLang issue 6017)"',
    ]


def _search(model: MoeModel, chip: Accelerator, gpus: int | None) -> list[str]:
    sizes = _SIZES_IN_A_RACK if chip.scale_up_domain_gpus > 8 else _SIZES_OF_ISLANDS
    limit = gpus if gpus is not None else max(2 * chip.scale_up_domain_gpus, 16)
    offered = sorted(
        {size for size in sizes if size <= limit} | ({gpus} if gpus is not None and gpus <= 144 else set())
    )
    degrees = [degree for degree in (1, 2, 4, 8) if model.attention.heads % degree == 0]
    return [
        "",
        "# The choices offered; the proven bound is a bound over these.",
        "[search]",
        f"deployment_gpus = {offered}  # GPUs of one replica",
        f"tensor_parallel = {degrees}",
        "pipeline_parallel = [1, 2]",
        "extra_slots_per_gpu = [0, 1, 2]  # expert slots beyond one copy of each expert",
        "prefill_requests_per_rank = [1, 2, 4, 8]",
        "",
    ]
