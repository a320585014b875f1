"""Claims about the shipped accelerators: published ratios, names that measured files use, a source at every number."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.hardware import Accelerator
from planner.instance.loading import accelerator_names, load_accelerator, validate

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="measured files are not beside this checkout")

# Seed claims, section 3.1: chip, weight format, rho, drain in ms (as printed there).
SECTION_3_1 = [
    ("a100_40", "bf16", 201, 25.7),
    ("a100_80", "bf16", 153, 39.2),
    ("h100", "bf16", 295, 23.9),
    ("h100", "fp8", 295, 23.9),
    ("h800", "bf16", 295, 23.9),
    ("h800", "fp8", 295, 23.9),
    ("h200", "fp8", 206, 29.4),
    ("b200_nominal", "bf16", 281, 24.0),
    ("b200_nominal", "fp8", 281, 24.0),
    ("b200_nominal", "fp4", 281, 24.0),
    ("gb200_nvl72", "fp4", 313, 23.3),
    ("gb300_nvl72", "fp4", 469, 36.0),
    ("rubin", "fp4", 568, 13.1),
    ("tpu_v5e", "bf16", 240, 19.5),
    ("tpu_v5p", "bf16", 166, 34.4),
    ("tpu_v6e", "bf16", 560, 19.5),
    ("tpu7x", "fp8", 313, 26.0),
]

# Names of measured rows that no accelerator can stand for.
UNRESOLVED = {
    "V100": "one row, no memory size, no peak, and the number of GPUs is not stated exactly",
    "TPU v3": "one row, no peak",
}

# Where the shipped figure differs from accelerators.csv on purpose; the file's source says why.
CSV_DIFFERENCES = {("mi355x", "scale_up_bytes_per_s"): 537.6e9, ("tpu_v5p", "scale_up_bytes_per_s"): 540e9}


@pytest.mark.parametrize(("name", "weight_format", "rho", "drain_ms"), SECTION_3_1)
def test_roofline_ratio_and_drain_time(name: str, weight_format: str, rho: float, drain_ms: float) -> None:
    """Rho = (F/2) w / W and the drain time C / W are the published ones, to 1 %."""
    accelerator = load_accelerator(name)
    assert accelerator.roofline_ratio(weight_format) == pytest.approx(rho, rel=0.01)
    assert accelerator.drain_s() * 1e3 == pytest.approx(drain_ms, rel=0.01)


def test_int4_weights_on_bf16_arithmetic() -> None:
    """Weights narrower than the arithmetic scale rho by their width only: 4-bit weights, bf16 maths on H100 give 74."""
    h100 = load_accelerator("h100")
    assert h100.arithmetic("fp4") == "bf16"
    assert h100.roofline_ratio("fp4") == pytest.approx(74, rel=0.01)


def test_nominal_rack_and_product() -> None:
    """The claims' rack has 72 x 192 GB and is marked; the product has 186 GB; both leave the rack at 1/18 of NVLink."""
    nominal, product = load_accelerator("nvl72_nominal"), load_accelerator("gb200_nvl72")
    assert (nominal.nominal, product.nominal) == (True, False)
    assert nominal.scale_up_domain_gpus * nominal.hbm_bytes == pytest.approx(13.824e12)
    assert nominal.flop_per_s["fp8"] == 4.5e15
    assert (product.hbm_bytes, product.flop_per_s["fp8"]) == (186e9, 5e15)
    for rack in (nominal, product):
        assert rack.scale_out_bytes_per_s == pytest.approx(50e9)
        assert rack.scale_up_bytes_per_s / rack.scale_out_bytes_per_s == pytest.approx(18)


def test_rubin_as_quoted_in_the_talk() -> None:
    """288 GB at the talk's 20 TB/s drain in 14.4 ms."""
    assert load_accelerator("rubin_nominal").drain_s() == pytest.approx(14.4e-3, rel=1e-3)


@pytest.mark.parametrize("name", library.names("hardware"))
def test_every_file_is_whole(name: str) -> None:
    """A file's name is its accelerator's name, every number has a source (the schema insists), and bf16 is there."""
    accelerator = load_accelerator(name)
    assert accelerator.name == name
    assert "bf16" in accelerator.flop_per_s
    assert all(len(source) > 5 for source in accelerator.sources.values())


def test_an_alias_belongs_to_one_accelerator() -> None:
    """No name leads to two files."""
    claimed = [alias.casefold() for name in library.names("hardware") for alias in load_accelerator(name).aliases]
    assert len(claimed) == len(set(claimed))
    assert not set(claimed) & set(library.names("hardware")) - {"rubin", "mi300x", "mi325x", "mi355x", "tpu7x"}


def test_a_number_without_a_source_is_refused() -> None:
    """Dropping one source is an error that names the number."""
    data = load_accelerator("h100").model_dump()
    del data["sources"]["hbm_bytes"]
    with pytest.raises(InstanceError, match="no source for hbm_bytes"):
        validate(Accelerator, data, "h100.toml")


def test_all_problems_of_a_file_at_once() -> None:
    """A wrong unit, a negative size and an unknown key are three problems of one error."""
    data = load_accelerator("h100").model_dump() | {
        "hbm_bytes": "80 GB/s",
        "scale_up_bytes_per_s": -1.0,
        "colour": "green",
    }
    with pytest.raises(InstanceError) as caught:
        validate(Accelerator, data, "h100.toml")
    assert {problem.key for problem in caught.value.problems} == {"hbm_bytes", "scale_up_bytes_per_s", "colour"}


def test_unknown_accelerator_lists_the_known_ones() -> None:
    """A wrong name is answered with the names that exist."""
    with pytest.raises(InstanceError, match="gb200_nvl72"):
        load_accelerator("h1000")


@needs_data
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("measured_serving.csv", "hardware"),
        ("measured_serving_inferencex.csv", "hardware"),
        ("measured_training.csv", "hardware"),
        ("accelerators.csv", "name"),
    ],
)
def test_names_of_measured_files_resolve(file: str, column: str) -> None:
    """Every hardware name of a measured file is a name or an alias, but for those that say too little."""
    with (DATA / file).open(encoding="utf-8") as stream:
        names = {row[column] for row in csv.DictReader(stream)}
    known = accelerator_names(library.instances_root())
    assert {name for name in names if name.casefold() not in known} <= set(UNRESOLVED)


@needs_data
@pytest.mark.shared_data
def test_figures_agree_with_the_collected_table() -> None:
    """Memory, bandwidths, peaks and sizes are those of accelerators.csv, but for two that their files explain."""
    with (DATA / "accelerators.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = {
        "hbm_bytes": ("hbm_gb", 1e9),
        "hbm_bytes_per_s": ("hbm_tb_per_s", 1e12),
        "scale_up_bytes_per_s": ("scale_up_gb_per_s_per_gpu_unidir", 1e9),
        "scale_out_bytes_per_s": ("scale_out_gbit_per_s_per_gpu", 1e9 / 8),
        "scale_up_domain_gpus": ("scale_up_domain_gpus", 1),
        "gpus_per_host": ("gpus_per_host", 1),
    }
    for row in rows:
        accelerator = load_accelerator(row["name"])
        for field, (column, scale) in columns.items():
            expected = CSV_DIFFERENCES.get((accelerator.name, field), float(row[column]) * scale)
            assert getattr(accelerator, field) == pytest.approx(expected), (accelerator.name, field)
        for precision in ("bf16", "fp8", "fp4"):
            text = row[f"{precision}_dense_tflops"]
            if text:
                assert accelerator.flop_per_s[precision] == pytest.approx(float(text) * 1e12), accelerator.name
