"""
Random numbers that are a pure function of where they are used.

A counter-based generator (the mixing steps of SplitMix64) instead of a stream: the number for a seed, symbol, session
and minute is the same whatever was asked before, so that any page can be made on its own.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CHANNEL_STEP = 0xD1B54A32D192ED03
_MINUTE_BITS = np.uint64(16)
_BITS_16, _BITS_21 = np.uint64(2**16 - 1), np.uint64(2**21 - 1)

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


def key_of(seed: int, ticker: str) -> int:
    """The 64-bit key of a symbol's numbers."""
    return int.from_bytes(hashlib.blake2b(f"{seed}|{ticker}".encode(), digest_size=8).digest(), "big")


def uniforms(key: int, channel: int, days: Whole, minutes: Whole | int = 0) -> Real:
    """Numbers in [0, 1), one per (day, minute) of the broadcast of *days* and *minutes*; channels are independent."""
    scaled: Real = (_bits(key, channel, days, minutes) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return scaled


def bells(key: int, channel: int, days: Whole, minutes: Whole | int = 0) -> Real:
    """Bell-shaped numbers, mean 0, variance 1, never beyond 3: the sum of three uniforms of 21 bits."""
    bits = _bits(key, channel, days, minutes)
    total = (bits >> np.uint64(43)) + ((bits >> np.uint64(22)) & _BITS_21) + ((bits >> np.uint64(1)) & _BITS_21)
    scaled: Real = total.astype(np.float64) * (2.0 / 2**21) - 3.0
    return scaled


def quads(key: int, channel: int, days: Whole, minutes: Whole | int = 0) -> tuple[Real, Real, Real, Real]:
    """Four independent numbers in [0, 1) of 16 bits each."""
    bits = _bits(key, channel, days, minutes)
    first, second, third, fourth = (
        ((bits >> np.uint64(shift)) & _BITS_16).astype(np.float64) * 2.0**-16 for shift in (48, 32, 16, 0)
    )
    return first, second, third, fourth


def _bits(key: int, channel: int, days: Whole, minutes: Whole | int) -> NDArray[np.uint64]:
    base = np.uint64((key + channel * _CHANNEL_STEP) & _MASK)
    place = (days.astype(np.uint64) << _MINUTE_BITS) + np.asarray(minutes, dtype=np.uint64)
    bits = place * np.uint64(_GOLDEN) ^ base
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
