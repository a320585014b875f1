"""Reading a case: what it resolves to, and how every problem of a bad one is told at once with file and key."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InstanceError, NoPlanFound
from planner.instance import library, overrides
from planner.instance.expert_load import generate
from planner.instance.instance import Instance
from planner.instance.loading import load_model
from planner.instance.loading_case import load_case
from planner.studies.serving import solve_serving

if TYPE_CHECKING:
    from pathlib import Path

TINY = library.instances_root() / "cases" / "tiny_mixtral_island.toml"


def read(name: str | Path = "tiny_mixtral_island", **options: object) -> Instance:
    """Read a case that names its model."""
    instance = load_case(name, **options)
    assert isinstance(instance, Instance)
    return instance


def edited(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy the tiny case with some texts replaced."""
    text = TINY.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "case.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: str | Path, **options: object) -> dict[str, str]:
    """Read a bad case: key -> message; every problem names the file and a remedy."""
    with pytest.raises(InstanceError) as caught:
        load_case(path, **options)
    assert all(problem.remedy and problem.file for problem in caught.value.problems)
    return {problem.key: f"{problem.file}: {problem.message}" for problem in caught.value.problems}


def test_case_resolves_to_si_units() -> None:
    """Limits, pools and prices of the tiny case: 1 s, 50 ms, two islands of eight H100 of 80 GB at 2 $."""
    instance = read()
    pool = instance.pools[0]
    assert (instance.demand[0].ttft_s, instance.demand[0].tpot_s) == (1.0, 0.05)
    assert (pool.domains, pool.gpus_per_domain, pool.gpus) == (2, 8, 16)
    assert (pool.accelerator.hbm_bytes, pool.usd_per_gpu_hour, pool.pays_idle_gpus) == (80e9, 2.0, False)
    assert instance.overlap_share == 0.33
    assert instance.demand[0].mean_context_tokens == 1024 + 128


def test_published_day_of_deepseek() -> None:
    """4,383 in and 1,211 out give the published mean context of 4,989; 56.25 % of the input is cached."""
    day = read("dsv3_h800_day").demand[0]
    assert day.mean_context_tokens == pytest.approx(4989, abs=1)
    assert day.new_input_tokens == pytest.approx(4383 * 0.4375)
    assert 86_400 * day.requests_per_s * day.input_tokens == pytest.approx(608e9, rel=1e-3)
    assert 86_400 * day.requests_per_s * day.output_tokens == pytest.approx(168e9, rel=1e-3)


def test_kv_format_override_and_generated_loads() -> None:
    """A case may narrow the KV; its loads are drawn from the seed, so twice the same, and each row sums to 1."""
    half = read(changes={"kv_format": "fp8"})
    assert half.model.kv_bytes_per_token * 2 == read().model.kv_bytes_per_token
    assert np.array_equal(half.expert_load, read().expert_load)
    assert half.expert_load.sum(axis=1) == pytest.approx(np.ones(32))
    assert np.log(half.expert_load).std() == pytest.approx(0.5, rel=0.15)
    assert not np.array_equal(half.expert_load, read(changes={"expert_load.seed": 8}).expert_load)


def test_case_without_loads_is_uniform() -> None:
    """Without a generator every expert gets the same share."""
    assert np.all(generate(None, load_model("mixtral-8x7b")) == 1 / 8)
    even = read(changes={"expert_load.sigma": -0.0, "expert_load.group_sigma": -0.0})
    assert np.all(even.expert_load == 1 / 8)


def test_override_of_a_data_sheet_figure() -> None:
    """A pool may replace a figure of its accelerator; the source says so."""
    chip = read(changes={"pools.h100.override": {"hbm_bytes": "96 GB"}}).pools[0].accelerator
    assert chip.hbm_bytes == 96e9
    assert "override in" in chip.sources["hbm_bytes"]


def test_every_problem_of_a_case_at_once(tmp_path: Path) -> None:
    """An unknown key, a wrong unit, a negative size, a missing source and a bad word are told together."""
    path = edited(
        tmp_path,
        ('billing = "gpu"', 'billing = "month"'),
        ('tpot_s = "50 ms"', 'tpot_s = "50 GB"'),
        ("requests_per_s = 1\n", "requests_per_s = -1\n"),
        ("input_tokens = 8192", "input_tokens = 0"),
        ("sigma = 0.5", "sigmas = 0.5"),
    )
    found = problems(path)
    assert found.keys() == {
        "pools.0.billing",
        "demand.0.tpot_s",
        "demand.1.requests_per_s",
        "demand.1.input_tokens",
        "expert_load.sigma",
        "expert_load.sigmas",
    }
    assert all(message.startswith(str(path)) for message in found.values())
    assert "'50 GB' is not a quantity in second" in found["demand.0.tpot_s"]


def test_every_file_that_a_case_names_is_checked(tmp_path: Path) -> None:
    """A missing model, calibration, accelerator and price column are told together, each with what there is."""
    path = edited(
        tmp_path,
        ('model = "mixtral-8x7b"', 'model = "mixtral-9x7b"'),
        ('calibration = "hand_set"', 'calibration = "guess"'),
        ('hardware = "h100"', 'hardware = "h101"'),
    )
    with pytest.raises(InstanceError) as caught:
        load_case(path)
    assert {problem.key for problem in caught.value.problems} == {"model", "calibration", "pools.h100.hardware"}
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    assert any("mixtral-9x7b: no such file in models" in problem.message for problem in caught.value.problems)
    assert any("hand_set" in problem.remedy for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        (
            {"pools.h100.price_column": "rental_3yr", "pools.h100.usd_per_gpu_hour": 2.0},
            "pools.0",
            "give either price_column or usd_per_gpu_hour",
        ),
        ({"pools.h100.usd_per_gpu_hour": "2 s"}, "pools.0.usd_per_gpu_hour", "is not a quantity in usd/hour"),
        ({"demand.1.name": "chat"}, "", "demand: names repeat"),
        ({"search.phases": ["prefill"]}, "search", "phases must offer both, or prefill and decode"),
        ({"search.tensor_parallel": []}, "search.tensor_parallel", "must not be empty"),
        ({"search.deployment_gpus": [0, 4]}, "search.deployment_gpus.0", "greater than or equal to 1"),
        ({"search.extra_slots_per_gpu": [-1]}, "search.extra_slots_per_gpu.0", "greater than or equal to 0"),
        ({"search.deployment_gpus": [32]}, "search.deployment_gpus", "every size exceeds every pool"),
        ({"demand.0.requests_per_s": 0, "demand.1.requests_per_s": 0}, "demand", "no class has a request rate above 0"),
        ({"demand.chat.cached_share": 1}, "demand.0.cached_share", "less than 1"),
        ({"demand.chat.requests_per_s": 10**400}, "demand.0.requests_per_s", "the number is too large"),
        ({"demand.chat.requests_per_s": 1e300}, "demand.0.requests_per_s", "less than or equal to"),
        ({"demand.chat.input_tokens": 10**25}, "demand.0.input_tokens", "less than or equal to"),
        ({"pools.h100.domains": 10**25}, "pools.0.domains", "less than or equal to"),
        ({"demand.chat.name": ""}, "demand.0.name", "must not be empty"),
        ({"demand": "x"}, "demand", "must be a list"),
        ({"search": []}, "search", "must be a table"),
        ({"demand.chat.percentile": 1.5}, "demand.0.percentile", "less than 1"),
        ({"demand.chat.ttft_s": "nan s"}, "demand.0.ttft_s", "nan"),
        ({"pools.h100.override": {"hbm_byte": 1}}, "hbm_byte", "no such key"),
        ({"pools.h100.gpus_per_domain": 16}, "pools.h100.gpus_per_domain", "16 GPUs, but h100 joins 8 at most"),
        ({"model": None}, "", "give either model or [lifecycle]"),
        ({"overlap": "all"}, "overlap", "'none' or 'two_batch'"),
    ],
)
def test_bad_values_name_their_key(change: dict[str, Any], key: str, message: str) -> None:
    """One bad value: its key and what is wrong with it."""
    found = problems("tiny_mixtral_island", changes=change)
    assert key in found
    assert message.casefold() in found[key].casefold()


def test_a_dense_model_in_a_case_with_expert_loads() -> None:
    """--set model=... may name a dense model: the table of expert loads is not used, and the report says so."""
    instance = load_case("tiny_mixtral_island", {"model": "llama-3.1-70b"})
    assert isinstance(instance, Instance)
    assert instance.expert_load.shape == (0, 0)
    assert instance.expert_load_note == "not used: llama-3.1-70b has no experts"


def test_top_k_above_the_experts(tmp_path: Path) -> None:
    """A model that routes a token to more experts than it has is refused, with a negative size beside it."""
    model = (library.instances_root() / "models" / "mixtral-8x7b.toml").read_text(encoding="utf-8")
    path = tmp_path / "model.toml"
    path.write_text(model.replace("experts_per_token = 2", "experts_per_token = 9"), encoding="utf-8")
    assert "experts_per_token 9 > routed_experts 8" in problems("tiny_mixtral_island", changes={"model": str(path)})[""]
    path.write_text(model.replace("layers = 32", "layers = -32").replace("heads = 32", "heads = 0"), encoding="utf-8")
    assert {"layers", "attention.heads"} <= problems("tiny_mixtral_island", changes={"model": str(path)}).keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = \n", "is not TOML"),
        (b"\xff\xfe\x00", "is not TOML"),
        (b"a = " + 5000 * b"[" + 5000 * b"]", "is not TOML"),
        (b"a = 1" + 5000 * b"0", "is not TOML"),
        (None, "no such file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Broken syntax, bytes that are no text and a missing file are told by name."""
    path = tmp_path / "case.toml"
    if content is not None:
        path.write_bytes(content)
    assert message in problems(path)[""]


def test_file_of_an_editor_that_writes_a_byte_order_mark(tmp_path: Path) -> None:
    """Windows editors put a mark before the text; the case is the same."""
    path = tmp_path / "case.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TINY.read_bytes())
    assert read(path).case == read().case


def test_name_that_no_file_can_have() -> None:
    """A name of 5,000 letters is no file, not an operating-system error."""
    assert "no such file in cases" in problems(5000 * "a")[""]


def test_files_beside_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case may name files by their place beside it, from whichever folder it is run."""
    shutil.copy(library.instances_root() / "models" / "mixtral-8x7b.toml", tmp_path / "mine.toml")
    shutil.copy(library.instances_root() / "hardware" / "h200.toml", tmp_path / "chip.toml")
    path = edited(tmp_path, ('"mixtral-8x7b"', '"mine.toml"'), ('hardware = "h100"', 'hardware = "chip.toml"'))
    monkeypatch.chdir("/")
    assert read(path).model == read().model
    assert read(path).pools[0].accelerator.name == "h200"


def test_wrong_keys_and_missing_files_are_told_together(tmp_path: Path) -> None:
    """A misspelt key does not hide that the model and the calibration do not exist."""
    path = edited(tmp_path, ('"mixtral-8x7b"', '"nobody"'), ('"hand_set"', '"guess"'), ("sigma", "sigmas"))
    assert problems(path).keys() == {"expert_load.sigma", "expert_load.sigmas", "model", "calibration"}


def test_case_by_path_outside_the_library(tmp_path: Path) -> None:
    """A file anywhere reads as one of the library."""
    shutil.copy(TINY, tmp_path / "mine.toml")
    assert read(tmp_path / "mine.toml").case == read().case


@pytest.mark.parametrize(
    ("loads", "message"),
    [
        (np.ones((31, 8)), "31 layers with load x 8 experts, but mixtral-8x7b has 32 MoE layers x 8 experts"),
        (np.ones((32, 16)), "32 layers with load x 16 experts"),
        (np.ones(8), "has shape (8,)"),
        (np.ones((2, 32, 8)), "has shape (2, 32, 8)"),
        (np.where(np.eye(32, 8) > 0, np.nan, 1.0), "layer 0, expert 0: nan is not a load"),
        (1.0 - 2.0 * np.eye(32, 8), "layer 0, expert 0: -1.0 is not a load"),
    ],
)
def test_loads_of_another_shape_or_with_bad_numbers(loads: np.ndarray[Any, Any], message: str) -> None:
    """Recorded loads must be a table of this model; a NaN row is no dense layer."""
    assert message in problems("tiny_mixtral_island", loads=loads, loads_note="loads.json")[""]


def test_recorded_loads_are_normalised_and_dense_rows_dropped() -> None:
    """All-zero rows are dense layers; the others become shares."""
    loads = np.vstack([np.zeros((3, 8)), np.tile(np.arange(1.0, 9.0), (32, 1))])
    instance = read(loads=loads, loads_note="loads.json")
    assert instance.expert_load[0] == pytest.approx(np.arange(1, 9) / 36)
    assert instance.expert_load_note == "loads.json"


def test_model_that_cannot_fit() -> None:
    """DeepSeek-V3 on one island of eight H100: no plan, for memory, with both sizes."""
    instance = read(changes={"model": "deepseek-v3", "pools.h100.domains": 1})
    with pytest.raises(NoPlanFound, match=r"memory: deepseek-v3 has 673 GB of weights.*573 GB of usable HBM"):
        solve_serving(instance)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"demand.chat.ttft_s": 0.01}, r"chat: no deployment meets ttft_s = 0\.01 s"),
        ({"demand.document.tpot_s": 0.001}, r"document: no deployment meets tpot_s = 0\.001 s in decode"),
        ({"demand.chat.input_tokens": 9_000_000}, r"memory: .*one request of chat keeps 1\.18 TB of KV"),
        ({"demand.chat.ttft_s": 0.01, "search.phases": ["both"]}, r"ttft_s = 0\.01 s in decode"),
        ({"search.tensor_parallel": [3]}, r"search: no layout cuts mixtral-8x7b .*must divide its 32 heads"),
        ({"search.pipeline_parallel": [33]}, r"search: no layout .*at most its 32 layers"),
        (
            {"demand.chat.requests_per_s": 900},
            r"(?s)h100: 2 domains of 8 GPUs each are not enough.*\d+ of h100 would be enough",
        ),
    ],
)
def test_limits_that_cannot_be_met_are_named(change: dict[str, Any], reason: str) -> None:
    """No plan: the limit that leaves none, by its key."""
    with pytest.raises(NoPlanFound, match=reason):
        solve_serving(read(changes=change))


@pytest.mark.parametrize("text", ["domains", "=3", "  =3"])
def test_assignments_that_are_none(text: str) -> None:
    """``--set`` wants key=value; all bad ones are told together."""
    with pytest.raises(InstanceError) as caught:
        overrides.parse_assignments([text, "a=1", text])
    assert [problem.key for problem in caught.value.problems] == [text, text]


def test_assignments_are_toml_or_text() -> None:
    """Numbers, lists and booleans are read as TOML, anything else as text."""
    found = overrides.parse_assignments(["a=3", "b = [1, 2]", "c=true", "d=50 ms", "e=x=y"])
    assert found == {"a": 3, "b": [1, 2], "c": True, "d": "50 ms", "e": "x=y"}


def test_unknown_keys_of_set() -> None:
    """An entry that does not exist is refused; a key that does not exist is refused by the schema."""
    assert problems("tiny_mixtral_island", changes={"pools.b200.domains": 3}).keys() == {"pools.b200.domains"}
    assert problems("tiny_mixtral_island", changes={"pools.7.domains": 3}).keys() == {"pools.7.domains"}
    assert problems("tiny_mixtral_island", changes={"pools.h100.domain": 3}).keys() == {"pools.0.domain"}
    assert problems("tiny_mixtral_island", changes={"wokload.x": 3}).keys() == {"wokload"}


@given(domains=st.integers(1, 10**6))
def test_set_by_name_and_by_position_is_the_same(domains: int) -> None:
    """An entry of a list of tables is named or counted; the file's own table is left as it was."""
    data = {"pools": [{"name": "a", "domains": 1}, {"name": "b", "domains": 2}]}
    by_name = overrides.apply(data, {"pools.b.domains": domains}, "file")
    assert by_name == overrides.apply(data, {"pools.1.domains": domains}, "file")
    assert by_name["pools"][1]["domains"] == domains
    assert data["pools"][1]["domains"] == 2


@pytest.mark.parametrize("rate", [1e-9, 1e-5])
def test_a_class_that_hardly_ever_asks_is_served(rate: float) -> None:
    """One request in 32 years needs less of a replica than the solver's tolerance, and a replica all the same."""
    alone = read(changes={"demand.chat.requests_per_s": rate, "demand.document.requests_per_s": 0})
    answer = solve_serving(alone)
    assert answer.evaluation.feasible
    assert answer.cost_usd == answer.bound_usd == 2.0 * 2  # two GPUs hold the weights
    both = solve_serving(read(changes={"demand.chat.requests_per_s": rate}))
    assert both.evaluation.feasible


def test_a_fleet_of_many_islands_is_planned() -> None:
    """Sixteen thousand islands are counted, not listed; the plan stays within the gap of the bound."""
    answer = solve_serving(read(changes={"demand.chat.requests_per_s": 1e6, "pools.h100.domains": 10**9}))
    assert answer.evaluation.feasible
    assert answer.gap <= 1e-2


def test_one_setting_replaces_the_other_kind_of_price() -> None:
    """A price column takes the place of a price by hand, and the other way round, and says so."""
    by_column = load_case("tiny_mixtral_island", {"pools.h100.price_column": "rental_3yr"})
    assert by_column.pools[0].usd_per_gpu_hour == 1.30  # type: ignore[union-attr]
    by_hand = load_case("dsv3_2xnvl72", {"pools.nvl72.usd_per_gpu_hour": 4.0})
    assert by_hand.pools[0].usd_per_gpu_hour == 4.0  # type: ignore[union-attr]
    assert by_hand.pools[0].price_note == "set for this run"  # type: ignore[union-attr]
