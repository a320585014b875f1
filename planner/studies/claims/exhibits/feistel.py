"""A Feistel cipher of 32 + 32 bits: invertible whatever its round function, mixing more with every round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint32]
    Halves = tuple[Words, Words]

BITS_OF_BLOCK = 64
_MULTIPLIERS = (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77))
_SHIFTS = (np.uint32(15), np.uint32(13))


def round_keys(rounds: int, seed: int) -> Words:
    """Draw one key a round [round]."""
    return np.random.default_rng(seed).integers(0, 2**32, size=rounds, dtype=np.uint32)


def blocks(count: int, seed: int) -> Halves:
    """Draw plain blocks as left and right halves, each [block]."""
    drawn = np.random.default_rng(seed).integers(0, 2**32, size=(2, count), dtype=np.uint32)
    return drawn[0], drawn[1]


def encrypt(halves: Halves, keys: Words) -> Halves:
    """Map (x, y) to (y xor f(x), x), once a key."""
    left, right = halves
    for key in keys:
        left, right = right ^ _mixed(left, key), left
    return left, right


def decrypt(halves: Halves, keys: Words) -> Halves:
    """Undo `encrypt`: f is computed again, never inverted."""
    left, right = halves
    for key in keys[::-1]:
        left, right = right, left ^ _mixed(right, key)
    return left, right


def wrong_bits_after_round_trip(rounds: int, *, seed: int, count: int = 4096) -> int:
    """Bits that differ after encryption and decryption of ``count`` blocks; 0 where the network is exact."""
    plain, keys = blocks(count, seed), round_keys(rounds, seed + 1)
    return _differing_bits(plain, decrypt(encrypt(plain, keys), keys))


def avalanche(rounds: int, *, seed: int, count: int = 512) -> float:
    """Mean share of the output's bits that change when one bit of the input is flipped, over all bits and blocks."""
    plain, keys = blocks(count, seed), round_keys(rounds, seed + 1)
    sealed = encrypt(plain, keys)
    changed = 0
    for bit in range(BITS_OF_BLOCK):
        flipped = np.uint32(1 << (bit % 32))
        other = (plain[0] ^ flipped, plain[1]) if bit < 32 else (plain[0], plain[1] ^ flipped)
        changed += _differing_bits(sealed, encrypt(other, keys))
    return changed / (count * BITS_OF_BLOCK**2)


def _mixed(words: Words, key: np.uint32) -> Words:
    """Round function f: multiply and shift, so that every bit reaches about half of the others."""
    mixed = words ^ key
    for multiplier, shift in zip(_MULTIPLIERS, _SHIFTS, strict=True):
        mixed = mixed * multiplier
        mixed = mixed ^ (mixed >> shift)
    return mixed


def _differing_bits(one: Sequence[Words], other: Sequence[Words]) -> int:
    """Count the bits in which blocks differ, over all of them."""
    both = np.stack([first ^ second for first, second in zip(one, other, strict=True)])
    return int(np.unpackbits(both.view(np.uint8)).sum(dtype=np.int64))
