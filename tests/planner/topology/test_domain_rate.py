"""Closed forms of the all-to-all rate inside a domain, against published tables and the flow program."""

from __future__ import annotations

import numpy as np
import pytest
from topology_accelerators import accelerator, mi300x, nvl72, tpu_v5e, tpu_v5p

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.loading import load_accelerator
from planner.topology.builders import from_accelerator
from planner.topology.domain_rate import (
    domain_all_to_all_bytes_per_s,
    near_cubic_shape,
    roomy_shape,
    two_level_all_to_all_bytes_per_s,
    two_level_slowdown,
)
from planner.topology.flow import all_to_all_rate_bytes_per_s


@pytest.mark.parametrize(("link", "printed"), [(90e9, (180, 90, 60, 45)), (100e9, (200, 100, 67, 50))])
def test_torus_pods(link: float, printed: tuple[float, ...]) -> None:
    """TPU v5p and TPU7x at 64, 512, 1,728 and 4,096 chips, GB/s per chip with the own chunk (dossier, C16)."""
    sheet = accelerator(scale_up_kind="torus3d", scale_up_domain_gpus=8960, scale_up_bytes_per_s=6 * link)
    rates = domain_all_to_all_bytes_per_s(sheet, np.array([64, 512, 1728, 4096]), count_own_chunk=True)
    np.testing.assert_allclose(rates / 1e9, printed, rtol=0.01)


def test_switched_domain_is_the_link_rate() -> None:
    """900 GB/s for any group inside an NVL72; with the own chunk 72/71 of it."""
    np.testing.assert_array_equal(domain_all_to_all_bytes_per_s(nvl72(), np.arange(1, 73)), 900e9)
    assert domain_all_to_all_bytes_per_s(nvl72(), 72, count_own_chunk=True) == pytest.approx(900e9 * 72 / 71)


def test_mesh_group_uses_its_own_links() -> None:
    """MI300X: 448 GB/s for all eight, 192 GB/s for four, 64 GB/s for two."""
    np.testing.assert_allclose(domain_all_to_all_bytes_per_s(mi300x(), np.array([8, 4, 2])), [448e9, 192e9, 64e9])


@pytest.mark.parametrize(
    ("sheet", "sizes"),
    [(nvl72(), (2, 8, 72)), (mi300x(), (2, 5, 8)), (tpu_v5p(), (2, 8, 32, 64, 128)), (tpu_v5e(), (4, 16, 64, 256))],
    ids=["nvl72", "mi300x", "v5p", "v5e"],
)
def test_closed_form_equals_the_program(sheet: object, sizes: tuple[int, ...]) -> None:
    """The rate that cost tables use is the largest concurrent flow of the same group built as a cluster."""
    for gpus in sizes:
        cluster = from_accelerator(sheet, gpus)
        flow = all_to_all_rate_bytes_per_s(cluster, count_own_chunk=False)
        assert domain_all_to_all_bytes_per_s(sheet, gpus) == pytest.approx(flow, rel=1e-9), gpus


@pytest.mark.parametrize(
    ("chips", "dimensions", "shape"),
    [
        (8960, 3, (16, 20, 28)),
        (9216, 3, (16, 24, 24)),
        (64, 3, (4, 4, 4)),
        (256, 2, (16, 16)),
        (7, 3, (1, 1, 7)),
        (1, 2, (1, 1)),
    ],
)
def test_near_cubic_shapes(chips: int, dimensions: int, shape: tuple[int, ...]) -> None:
    """The v5p and TPU7x pods have the shapes their makers publish: 16 x 20 x 28 and 16 x 24 x 24."""
    assert near_cubic_shape(chips, dimensions) == shape


@pytest.mark.parametrize(("chips", "shape"), [(7, (2, 2, 2)), (3, (1, 2, 2)), (2, (1, 1, 2)), (100, (4, 5, 5))])
def test_awkward_groups_sit_in_a_roomy_box(chips: int, shape: tuple[int, ...]) -> None:
    """Seven chips use a cube of eight rather than a ring of seven."""
    assert roomy_shape(chips, 3, 8960) == shape


def test_shape_of_the_answer_follows_the_question() -> None:
    """A number gives a float, an array gives an array of its shape."""
    assert isinstance(domain_all_to_all_bytes_per_s(nvl72(), 8), float)
    assert domain_all_to_all_bytes_per_s(nvl72(), np.ones((2, 3), dtype=np.int64)).shape == (2, 3)


@pytest.mark.parametrize("gpus", [0, 73])
def test_groups_outside_the_domain_are_refused(gpus: int) -> None:
    """No GPU, or more than the domain has."""
    with pytest.raises(InstanceError, match="do not fit into a domain of 72"):
        domain_all_to_all_bytes_per_s(nvl72(), gpus)


@pytest.mark.parametrize(("racks", "slowdown"), [(2, 4.0), (4, 6.0), (8, 7.0)])
def test_slowdown_at_ratio_eight(racks: int, slowdown: float) -> None:
    """R = 2, 4, 8 at h = 8: 4.0, 6.0, 7.0; the two networks are even at f = 1/(1 + h) (dossier, C14)."""
    share = (racks - 1) / racks
    assert two_level_slowdown(share, 8) == pytest.approx(slowdown)
    assert two_level_all_to_all_bytes_per_s(8.0, 1.0, share) == pytest.approx(8 / slowdown)
    assert two_level_slowdown(1 / 9, 8) == pytest.approx(1 - 1 / 9)


@pytest.mark.parametrize(("racks", "printed"), [(1, 900), (2, 225), (4, 150), (8, 129)])
def test_racks_with_the_articles_nic(racks: int, printed: float) -> None:
    """900 GB/s inside and 112.5 GB/s outside, GB/s per GPU (dossier, C16)."""
    rate = two_level_all_to_all_bytes_per_s(900e9, 112.5e9, (racks - 1) / racks)
    assert rate / 1e9 == pytest.approx(printed, rel=0.005)


@pytest.mark.parametrize("name", library.names("hardware"))
def test_every_shipped_accelerator(name: str) -> None:
    """Inside a domain no group beats the GPU's own links, and two domains do not beat what their NICs let through."""
    sheet = load_accelerator(name)
    rates = domain_all_to_all_bytes_per_s(sheet, np.arange(1, min(sheet.scale_up_domain_gpus, 300) + 1))
    assert (rates > 0).all()
    assert (rates <= sheet.scale_up_bytes_per_s * (1 + 1e-12)).all()
    if sheet.scale_up_domain_gpus <= 72:
        cluster = from_accelerator(sheet, 2 * sheet.scale_up_domain_gpus)
        assert all_to_all_rate_bytes_per_s(cluster) <= 2 * sheet.scale_out_bytes_per_s * (1 + 1e-9)
