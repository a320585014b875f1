"""The exhibits show what the claims say: exact on bits, as good as the number format on floats, mixed or smooth."""

from __future__ import annotations

import numpy as np
import pytest

from planner.studies.claims.exhibits import feistel, memory_for_compute, residual


@pytest.mark.parametrize("rounds", [1, 2, 3, 8, 64])
def test_a_feistel_network_comes_back_exactly(rounds: int) -> None:
    """Not one bit of 4,096 blocks is lost, though the round function cannot be inverted."""
    assert feistel.wrong_bits_after_round_trip(rounds, seed=3) == 0


def test_one_feistel_round_by_hand() -> None:
    """(x, y) becomes (y xor f(x), x): the right half of the output is the left half of the input."""
    plain = feistel.blocks(16, 5)
    sealed = feistel.encrypt(plain, feistel.round_keys(1, 6))
    assert np.array_equal(sealed[1], plain[0])
    assert not np.array_equal(sealed[0], plain[1])


def test_encryption_changes_what_it_hides() -> None:
    """After eight rounds a block has nothing in common with its input: half of the bits differ."""
    plain = feistel.blocks(4096, 1)
    sealed = feistel.encrypt(plain, feistel.round_keys(8, 2))
    shares = [np.unpackbits((one ^ other).view(np.uint8)).mean() for one, other in zip(plain, sealed, strict=True)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize(("rounds", "share"), [(1, 18 / 128), (2, (17 + 32) / 128), (3, 0.5), (8, 0.5)])
def test_avalanche_by_rounds(rounds: int, share: float) -> None:
    """With a round function that flips half of its bits: 17 or 1 of 64 bits after one round, 32 or 17 after two."""
    assert feistel.avalanche(rounds, seed=11) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("kind", "least", "most"), [("fp64", 0.0, 1e-12), ("fp32", 1e-9, 1e-3), ("fp16", 1e-3, 1.0)])
def test_a_reversible_stack_comes_back_as_its_format_lets_it(kind: str, least: float, most: float) -> None:
    """64 layers of width 64: exact to rounding in fp64, good in fp32, and wrong enough to warn of in fp16."""
    found = residual.reconstruction(kind, layers=64, width=64, seed=8)
    assert least <= found.error < most
    assert (found.warning is not None) == (kind == "fp16")


def test_one_reversible_layer_by_hand() -> None:
    """With W = 0 a layer only swaps the streams."""
    one, other = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    first, second = residual.run_reversible(one, other, np.zeros((1, 2, 2)))
    assert (first.tolist(), second.tolist()) == ([3.0, 4.0], [1.0, 2.0])


@pytest.mark.parametrize("seed", range(4))
def test_a_residual_stack_is_smooth_at_any_depth(seed: int) -> None:
    """A small change comes out 1.0 to 1.6 times as large, 16 layers deep or 64, within 5 %."""
    shallow, deep = (residual.gain(depth, width=64, seed=seed) for depth in (16, 64))
    assert 1.0 <= shallow <= 1.6
    assert deep / shallow == pytest.approx(1.0, abs=0.05)


def test_activation_memory_of_the_dossier() -> None:
    """100 layers of width 12,288 at 4,096 tokens: 171.1, 11.8 and 1.9 GB; the last two take a third more FLOP."""
    ways = memory_for_compute.training_activations(100, 12288, 4096, 34.0)
    gigabytes = [way.bytes_kept / 1e9 for way in ways.values()]
    assert gigabytes == pytest.approx([171.1, 11.8, 1.9], rel=0.01)
    assert [way.relative_flop for way in ways.values()] == pytest.approx([1.0, 4 / 3, 4 / 3])


@pytest.mark.parametrize(("prompt", "output"), [(0, 1), (0, 1000), (1000, 1000), (17, 5)])
def test_kv_factor_counts_passes(prompt: int, output: int) -> None:
    """Counted one by one: token t passes prompt + t tokens without a cache, each token once with one."""
    passes = sum(prompt + token for token in range(1, output + 1))
    assert memory_for_compute.kv_cache_factor(prompt, output) == pytest.approx(passes / (prompt + output))


def test_kv_factors_of_the_dossier() -> None:
    """500.5, 750.3 and 995.1 for a thousand tokens after prompts of 0, 1,000 and 100,000."""
    factors = [memory_for_compute.kv_cache_factor(prompt, 1000) for prompt in (0, 1000, 100_000)]
    assert factors == pytest.approx([500.5, 750.3, 995.1], abs=0.1)
