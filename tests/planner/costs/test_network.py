"""Times on the links against claim C14 of the dossier, DeepSeek's published traffic and closed forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs import compute, network
from planner.topology.crossing import distinct_remote_destinations

BYTES_PER_TOKEN = 3 * 7168
SCALE_UP = 900e9
SCALE_OUT = 900e9 / 8


def one_token_us(destinations: float, remote_domains: float, scale_out: float = SCALE_OUT) -> float:
    """Microseconds of all-to-all of one DeepSeek-V3 token and layer without latency."""
    return 1e6 * float(
        network.all_to_all_s(
            1.0,
            BYTES_PER_TOKEN,
            destinations=destinations,
            remote_domains=remote_domains,
            scale_up_bytes_per_s=SCALE_UP,
            scale_out_bytes_per_s=scale_out,
            imbalance=1.0,
            latency_s=0.0,
        )
    )


def test_one_rack_hides_behind_compute() -> None:
    """C14: compute takes .270 us a token and layer, the all-to-all of one rack .191 us."""
    arithmetic = compute.gemm_s(37e9 / 61, 1.0, weight_bytes_per_param=1, flop_per_s=4.5e15, bytes_per_s=1e30)
    assert 1e6 * arithmetic == pytest.approx(0.270, rel=1e-2)
    assert one_token_us(8, 0) == pytest.approx(0.191, rel=1e-2)


def test_two_racks_with_and_without_deduplication() -> None:
    """C14: two racks at an eighth of the bandwidth take .765 us without and .190 us with one send per remote rack."""
    assert one_token_us(8 / 2, 8 / 2) == pytest.approx(0.765, rel=1e-2)
    assert one_token_us(0, float(distinct_remote_destinations(256, 8, 2))) == pytest.approx(0.190, rel=1e-2)


@pytest.mark.parametrize(("racks", "slower"), [(2, 4.0), (4, 6.0), (8, 7.0)])
def test_slowdown_over_racks(racks: int, slower: float) -> None:
    """C14: without de-duplication R racks are max(1-f, h f) times slower, 4 / 6 / 7 for h = 8."""
    outside = 8 * (racks - 1) / racks
    assert one_token_us(8 - outside, outside) / one_token_us(8, 0) == pytest.approx(slower)


@pytest.mark.parametrize(("sends", "milliseconds"), [(8 * 17 / 18, 16.6), (6.31, 13.9)])
def test_traffic_of_deepseeks_decode_units(sends: float, milliseconds: float) -> None:
    """C14, field: EP144 over 18 islands moves 16.6 ms of traffic a step at 88 sequences, 13.9 ms de-duplicated."""
    found = 58 * 88 * one_token_us(0, sends, scale_out=50e9) / 1e3
    assert found == pytest.approx(milliseconds, rel=1e-2)
    assert distinct_remote_destinations(256, 8, 18) == pytest.approx(6.31, abs=5e-3)


def test_all_to_all_waits_for_both_directions_and_the_busiest_receiver() -> None:
    """Latency counts twice (dispatch and combine), imbalance multiplies the bytes only, the slower link counts."""
    arguments = {"destinations": 4.0, "scale_up_bytes_per_s": 100.0, "scale_out_bytes_per_s": 10.0, "latency_s": 1.0}
    inside = network.all_to_all_s(10.0, 5.0, remote_domains=0.0, imbalance=1.5, **arguments)
    outside = network.all_to_all_s(10.0, 5.0, remote_domains=2.0, imbalance=1.5, **arguments)
    assert inside == pytest.approx(2 + 1.5 * 2.0)
    assert outside == pytest.approx(2 + 1.5 * 10.0)


def test_ring_all_reduce() -> None:
    """Two ranks move each byte once, many ranks twice; one rank takes no time; latency grows by the exponent."""
    arguments = {"bytes_per_s": 1e3, "latency_exponent": 0.5}
    times = network.all_reduce_s(10.0, 100.0, [1, 2, 8], latency_s=0.0, **arguments)
    assert times == pytest.approx([0.0, 1.0, 1.75])
    assert network.all_reduce_s(0.0, 100.0, 8, latency_s=3.0, **arguments) == pytest.approx(6.0)


@given(communication=st.floats(0, 10), rest=st.floats(0, 10), share=st.floats(0, 1))
def test_overlap_band(communication: float, rest: float, share: float) -> None:
    """Whatever is hidden, a step lies between the longer of its two parts and their sum."""
    found = network.overlapped_s(communication, rest, share)
    assert max(communication, rest) - 1e-12 <= found <= communication + rest
    assert network.overlapped_s(communication, rest, 0.0) == communication + rest
    assert network.overlapped_s(communication, rest, 1.0) == pytest.approx(max(communication, rest))


def test_hand_over() -> None:
    """A hop to the next stage pays its latency and its bytes."""
    assert network.pipeline_hop_s(4.0, 100.0, bytes_per_s=100.0, latency_s=0.5) == pytest.approx(4.5)


def test_an_all_reduce_that_leaves_its_domain_waits_for_the_far_links() -> None:
    """Ranks in several domains add the remote latency once; one rank alone still costs nothing."""
    rate = {"bytes_per_s": 1e9, "latency_s": 1e-5, "latency_exponent": 0.3}
    near, far = (network.all_reduce_s(4, 1e3, 16, remote_latency_s=extra, **rate) for extra in (0.0, 3e-5))
    assert float(far) - float(near) == pytest.approx(3e-5)
    assert float(network.all_reduce_s(4, 1e3, 1, remote_latency_s=3e-5, **rate)) == 0.0
